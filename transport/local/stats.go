package local

import (
	"sync/atomic"
	"time"

	"github.com/xferd/xferd/transport"
)

// counters are transport.Stats that workers add to concurrently.
type counters struct {
	streams, chunks, bytes, kernel, cloned, copied, mismatches atomic.Int64

	reading, hashing, placing clock
}

func (c *counters) read() transport.Stats {
	return transport.Stats{
		Streams:     int(c.streams.Load()),
		Chunks:      c.chunks.Load(),
		Bytes:       c.bytes.Load(),
		KernelBytes: c.kernel.Load(),
		ClonedBytes: c.cloned.Load(),
		CopiedBytes: c.copied.Load(),
		Mismatches:  c.mismatches.Load(),
		ReadTime:    c.reading.total(),
		HashTime:    c.hashing.total(),
		PlaceTime:   c.placing.total(),
	}
}

// clock sums up durations.
type clock struct{ ns atomic.Int64 }

func (c *clock) since(start time.Time) { c.ns.Add(int64(time.Since(start))) }
func (c *clock) total() time.Duration  { return time.Duration(c.ns.Load()) }
