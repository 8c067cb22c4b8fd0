package verbs

import (
	"sync/atomic"
	"time"

	"github.com/xferd/xferd/transport"
)

// counters are transport.Stats that several goroutines add to, a chunk at a time.
type counters struct {
	streams, chunks, bytes, mismatches atomic.Int64

	reading, hashing, wiring, placing clock
}

func (c *counters) read() transport.Stats {
	return transport.Stats{
		Streams:     int(c.streams.Load()),
		Chunks:      c.chunks.Load(),
		Bytes:       c.bytes.Load(),
		CopiedBytes: c.bytes.Load(),
		Mismatches:  c.mismatches.Load(),
		ReadTime:    c.reading.total(),
		HashTime:    c.hashing.total(),
		WireTime:    c.wiring.total(),
		PlaceTime:   c.placing.total(),
	}
}

// clock sums up durations.
type clock struct{ ns atomic.Int64 }

func (c *clock) since(start time.Time) { c.ns.Add(int64(time.Since(start))) }
func (c *clock) total() time.Duration  { return time.Duration(c.ns.Load()) }
