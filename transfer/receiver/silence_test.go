package receiver

import (
	"testing"
	"time"

	"github.com/xferd/xferd/test/bubble"
	"github.com/xferd/xferd/transfer"
)

// An owner that says nothing for 30 s is gone, though its stream is open: one that
// is stopped, or that hears and is not heard. One that pings is there. What it held
// is kept for when it comes back.
func TestSilentOwnerIsLost(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		g := newRig(t)
		o := g.dial(g.request("d"))
		o.announce(dir(root, ""), regular(0, "f", pattern(2*testChunk, 1)))
		o.answer(1)
		o.land(o.extent(1, 0))
		running := func() bool {
			list := g.Incoming()
			return len(list) == 1 && list[0].Running
		}
		for i := range uint64(30) { // five minutes
			time.Sleep(10 * time.Second)
			o.send(&transfer.Ping{Seq: i + 1})
			if p, ok := o.next().(*transfer.Pong); !ok || p.Seq != i+1 {
				t.Fatalf("%v instead of a pong", p)
			}
		}
		if !running() {
			t.Fatal("an owner that pings was given up")
		}
		time.Sleep(silence + 2*listening)
		if running() || len(g.Incoming()) != 1 {
			t.Errorf("after %v of silence: %+v", silence+2*listening, g.Incoming())
		}
		o.close()
		if g.partials() != 1 {
			t.Errorf("%d partial files are kept", g.partials())
		}
	})
}
