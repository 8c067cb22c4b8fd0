// Package tally counts what transports do.
package tally

import (
	"sync/atomic"
	"time"

	"github.com/xferd/xferd/transport"
)

// Counters are transport.Stats that the goroutines of an edge add to, a block or a
// chunk at a time.
type Counters struct {
	Streams, Chunks, Bytes, Sendfile, Kernel, Cloned, Copied, Mismatches atomic.Int64

	Reading, Hashing, Wiring, Placing Clock
}

// Read returns the counts of now.
func (c *Counters) Read() transport.Stats {
	return transport.Stats{
		Streams:       int(c.Streams.Load()),
		Chunks:        c.Chunks.Load(),
		Bytes:         c.Bytes.Load(),
		SendfileBytes: c.Sendfile.Load(),
		KernelBytes:   c.Kernel.Load(),
		ClonedBytes:   c.Cloned.Load(),
		CopiedBytes:   c.Copied.Load(),
		Mismatches:    c.Mismatches.Load(),
		ReadTime:      c.Reading.total(),
		HashTime:      c.Hashing.total(),
		WireTime:      c.Wiring.total(),
		PlaceTime:     c.Placing.total(),
	}
}

// Clock sums up durations.
type Clock struct{ ns atomic.Int64 }

// Since adds the time since start.
func (c *Clock) Since(start time.Time) { c.ns.Add(int64(time.Since(start))) }

func (c *Clock) total() time.Duration { return time.Duration(c.ns.Load()) }
