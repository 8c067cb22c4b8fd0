package receiver

import (
	"testing"
	"time"

	"github.com/xferd/xferd/transfer"
)

// The clock on the wall jumps by a year or an hour, in either direction. It decides what
// is old enough to be forgotten, and nothing that runs, or that came just now, is.
func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{365 * 24 * time.Hour, -time.Hour, -365 * 24 * time.Hour} {
		g := newRig(t, func(c *Config) { c.OrphanTTL, c.PartialTTL = time.Hour, time.Hour })
		s := sharing{g, t}
		a, b := s.join("a", true), s.join("b", true)
		a.land(a.extent(0, 0))
		b.land(b.extent(0, 0))
		b.abort(transfer.EndCancel) // its part stays
		left := s.join("c", true)
		left.close() // without its owner from now on
		// Without the reading of the monotonic clock only the wall is left to compare.
		if err := g.sweep(time.Now().Round(0).Add(jump)); err != nil {
			t.Error(err)
		}
		if forward := jump > 0; (g.partials() == 0) != forward {
			t.Errorf("%v: %d partials", jump, g.partials())
		}
		if n := len(g.Incoming()); n != 1 && n != 2 {
			t.Errorf("%v: %d transfers hold something", jump, n)
		}
		// What runs goes on, under the lock that it had, from what it had.
		if terr := g.refused(g.request("new/d/a"), Peer{Node: "n1"}); terr.Reason != transfer.DestBusy {
			t.Errorf("%v: %v", jump, terr)
		}
		s.finish(a)
		s.wantFile("new/d/a", pattern(3*testChunk, 1))
	}
}
