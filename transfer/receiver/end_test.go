package receiver

import (
	"testing"

	"github.com/xferd/xferd/transfer"
)

// TestPingsWhileTheEdgeEnds: an end that takes long shows that it is under way.
func TestPingsWhileTheEdgeEnds(t *testing.T) {
	g := newRig(t)
	ending, goOn := make(chan struct{}), make(chan struct{})
	g.acc.closing = func() {
		close(ending)
		<-goOn
	}
	o := g.dial(g.request("d"))
	o.announce(dir(root, ""), regular(0, "a", pattern(2*testChunk, 1)))
	o.answer(1)
	o.send(&transfer.Abort{End: transfer.EndPause})
	<-ending
	for seq := range uint64(3) {
		o.send(&transfer.Ping{Seq: seq})
		if p, ok := o.next().(*transfer.Pong); !ok || p.Seq != seq {
			t.Errorf("%+v", p)
		}
	}
	close(goOn)
	if fin := o.finished(); fin.Err != nil {
		t.Error(fin.Err)
	}
}
