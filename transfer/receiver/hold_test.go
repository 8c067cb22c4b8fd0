package receiver

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/test/needs"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// fillState takes all room of the state directory, and of the journal what it has
// reserved. What it returns gives the former back.
func (g *rig) fillState(uid transfer.UID) (free func()) {
	g.t.Helper()
	filler := filepath.Join(g.state, "filler")
	f, err := os.Create(filler)
	if err != nil {
		g.t.Fatal(err)
	}
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	f.Close()
	g.mu.Lock()
	j := g.edges[uid].journal
	g.mu.Unlock()
	for err = nil; err == nil; {
		_, err = j.append(frameDirNot, appendString(nil, "/"))
	}
	if !errors.Is(err, store.ErrNoSpace) {
		g.t.Fatal(err)
	}
	return func() {
		if err := os.Remove(filler); err != nil {
			g.t.Error(err)
		}
	}
}

// holding is a transfer whose data has landed while the state directory is full.
func (g *rig) holding() (uid transfer.UID, o *owner, free func()) {
	g.t.Helper()
	m := g.request("d")
	o = g.dial(m)
	o.announce(dir(root, ""), regular(0, "large", pattern(3*testChunk, 1)), regular(0, "small", []byte("x")), endDir(0))
	o.answer(1)
	o.answer(2)
	if v := o.land(o.extent(1, 0)); v[0].Code != transport.Placed {
		g.t.Fatalf("%+v", v)
	}
	free = g.fillState(m.UID)
	// The data goes on; only its end has to be noted.
	if v := o.land(o.extent(1, testChunk), o.extent(1, 2*testChunk)); v[0].Code != transport.Placed || v[1].Code != transport.Placed {
		g.t.Fatalf("%+v", v)
	}
	o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 1}}})
	o.wantWaiting(0, transfer.StateNoSpace)
	return m.UID, o, free
}

// wantWaiting takes a Pong.
func (o *owner) wantWaiting(seq uint64, reason transfer.Reason) {
	o.t.Helper()
	p, ok := o.next().(*transfer.Pong)
	if !ok || p.Seq != seq || (p.Waiting != nil) != (reason != "") || p.Waiting != nil && (p.Waiting.Reason != reason || p.Waiting.Node != "n2") {
		o.t.Fatalf("%+v", p)
	}
}

// TestP3FullStateHoldsThePublishing: what landed waits for room, the owner is told so,
// and it goes on by itself.
func TestP3FullStateHoldsThePublishing(t *testing.T) {
	g := newRigAt(t, t.TempDir(), needs.Tmpfs(t, "size=6m"))
	_, o, free := g.holding()
	o.send(&transfer.Ping{Seq: 7})
	o.wantWaiting(7, transfer.StateNoSpace)
	if exists(g.path("d/large")) {
		t.Error("it is published without a record")
	}
	if terr := g.refused(g.request("other"), Peer{Node: "n1"}); terr.Reason != transfer.StateNoSpace {
		t.Errorf("another transfer: %v", terr)
	}
	free()
	o.wantWaiting(0, "")
	o.want(1, transfer.OutcomePublished)
	o.sendRange(2, o.sources[2].whole())
	o.want(2, transfer.OutcomePublished)
	o.want(3, transfer.OutcomeSame)
	if fin := o.finish(); fin.Err != nil || !fin.Complete {
		t.Errorf("%+v", fin)
	}
	g.wantFile("d/large", o.sources[1].data)
	g.wantClean()
}

// TestP6CancelWhileTheStateIsFull: nothing is published, and the destination is free
// as soon as there is room.
func TestP6CancelWhileTheStateIsFull(t *testing.T) {
	g := newRigAt(t, t.TempDir(), needs.Tmpfs(t, "size=6m"))
	uid, o, free := g.holding()
	o.send(&transfer.Abort{End: transfer.EndPurge})
	for {
		m := o.next()
		if _, pong := m.(*transfer.Pong); pong {
			continue
		}
		if fin, ok := m.(*transfer.Finished); !ok || fin.Complete {
			t.Errorf("%T %+v", m, m)
		}
		break
	}
	o.close()
	if exists(g.path("d/large")) {
		t.Error("it is published after all")
	}
	free()
	again := g.request("d", func(m *transfer.Open) { m.UID = uid })
	g.dial(again).abort(transfer.EndPurge)
	g.wantClean()
}
