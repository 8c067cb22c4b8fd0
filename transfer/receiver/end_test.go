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

// TestAbortAfterFinish: one that comes when nothing is left to stop changes nothing,
// and the owner is told so.
func TestAbortAfterFinish(t *testing.T) {
	for _, end := range []transfer.End{transfer.EndPause, transfer.EndCancel, transfer.EndPurge} {
		g := newRig(t)
		o := g.dial(g.request("d"))
		o.announce(dir(root, ""), regular(0, "f", []byte("x")), endDir(0))
		o.serve()
		o.send(&transfer.ScanDone{Entries: uint64(len(o.sources))})
		o.send(&transfer.Finish{})
		o.send(&transfer.Abort{End: end})
		// Either it was in time, or it was not: what is said is what is so.
		fin := o.finished()
		if paused := !fin.Complete && end == transfer.EndPause; !paused {
			g.wantClean()
		}
		g.wantFile("d/f", []byte("x"))
	}
	g := newRig(t)
	if _, fin := g.copyAll(g.request("d"), dir(root, ""), endDir(0)); !fin.Complete {
		t.Error("a finish to the last step is not told as one")
	}
}
