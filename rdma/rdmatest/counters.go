package rdmatest

// Counters are what a device did and has.
type Counters struct {
	// As sender.
	Requests  uint64 // send requests whose execution began
	BytesSent uint64 // payload that left, again where it was sent again
	Retries   uint64 // that something was sent again, for lack of an answer
	// As target.
	BytesLanded  uint64 // payload that was put into memory here by a peer
	Landed       uint64 // messages that arrived whole
	Duplicates   uint64 // bursts of packets that were here already
	OutOfOrder   uint64 // bursts that came too early
	NotReady     uint64 // bursts for which no receive was posted
	AccessErrors uint64 // that a remote key, a length or a right was refused
	Unwanted     uint64 // bursts for a queue pair that is gone, or not to be written to
	// Completions that were put into completion queues.
	Completions uint64

	// Live objects.
	Contexts, ProtectionDomains, MemoryRegions, Channels, CompletionQueues, QueuePairs int
	// Registered bytes.
	Memory int64
}

// Counters returns what was counted so far.
func (d *Device) Counters() Counters {
	d.fabric.mu.Lock()
	defer d.fabric.mu.Unlock()
	return d.counters
}
