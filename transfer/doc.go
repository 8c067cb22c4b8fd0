// Package transfer is the domain: what a transfer is. It holds the words that
// the rest speaks in: [Spec], [Transfer] and its states, [Entry] of the
// manifest, the control messages between owner and target, and typed errors.
//
// How a transfer runs is in the sub-packages: filter and scan find what there
// is at the source, plan (pure) decides what moves next, sender and receiver
// are the two ends of an edge, lifecycle owns the queue and decides.
//
// This package knows no gRPC, no membership and no concrete transport. It does
// no I/O.
package transfer
