// Package rdmatest is a network of RDMA devices in pure Go, for tests, and the
// suite that every driver of package rdma passes. Nothing of it belongs into a
// program.
//
// A [Fabric] has [Device]s on named hosts; [Fabric.Driver] is what rdma.New
// takes for one host. All devices reach each other, as over one routed network.
// Reliable connections behave as on hardware, including what is unkind of it:
// remote keys are handed out again at once, a PSN that is behind gives success
// and drops the data, slots of a send queue come back only when a later signaled
// completion was polled, fields of a failed completion that are not valid hold
// nonsense, completions of a closed queue pair vanish, and the source memory is
// read again when something is sent again.
//
// # Faults
//
// Each is asked for by the test: [Device.Fail], [Device.Hang] and [Device.Slow]
// for verbs, [Device.Inject] for a send request, [Link] for what travels from one
// device to another (lost, held, released later), [Device.Freeze] for a device
// that stands still with work posted, and methods for ports, addresses,
// completion queues and the death of a device. [Device.Counters] tells what
// happened.
//
// # Memory and the race detector
//
// Bytes are moved by goroutines of the fabric, right into the registered slices.
// As with hardware the race detector does not see these accesses, so that a late
// write into memory that somebody else uses by now can be shown by a canary, and
// is no race report. With [Options.Visible] it sees them: then a program that
// reads a buffer before its completion was polled, or changes one that is still
// being sent, is reported. What the rules of verbs order is ordered for the race
// detector too: post before read, write before the completion that tells of it,
// and Close of a region or queue pair after the last access that came by it.
//
// # Time
//
// Retries run on time.Timer, so that testing/synctest works, and are cut short
// by [Options.Timeout] outside of it. An answer is never late by itself, so a
// short time is safe.
package rdmatest
