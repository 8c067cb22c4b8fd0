package receiver

import (
	"testing"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// TestP6CancelStopsThePublishing: what is complete and not decided when the cancel comes
// is not published any more; a large file stays as a partial.
func TestP6CancelStopsThePublishing(t *testing.T) {
	for _, end := range []transfer.End{transfer.EndCancel, transfer.EndPurge} {
		g := newRig(t)
		syncing, goOn := make(chan struct{}, 4), make(chan struct{})
		g.syncTemp = func(f *fsroot.File) error {
			syncing <- struct{}{}
			<-goOn
			return f.Sync()
		}
		o := g.dial(g.request("d", func(m *transfer.Open) { m.Options.Durability = transfer.DurabilityFull }))
		o.announce(dir(root, ""), regular(0, "large", pattern(3*testChunk, 1)))
		o.answer(1)
		o.sendRange(1, o.sources[1].whole())
		o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 1}}})
		<-syncing
		o.announce(endDir(0))
		o.send(&transfer.ScanDone{Entries: 3})
		fenced := make(chan struct{})
		g.acc.closing = func() { close(fenced) }
		o.send(&transfer.Abort{End: end})
		<-fenced
		// The publishers are told next, which cannot be seen from here.
		for !g.edgeOf(o.open.UID).pub.dropping() {
			o.send(&transfer.Ping{})
			o.next()
		}
		close(goOn)
		for {
			m := o.next()
			if _, pong := m.(*transfer.Pong); pong {
				continue
			}
			if fin, ok := m.(*transfer.Finished); !ok || fin.Complete || fin.Err != nil {
				t.Errorf("%v: %T %+v", end, m, m)
			}
			break
		}
		o.close()
		if exists(g.path("d")) && exists(g.path("d/large")) {
			t.Errorf("%v: it is published after the cancel", end)
		}
		want := 0
		if end == transfer.EndCancel {
			want = 1
		}
		if n := g.partials(); n != want || len(g.temps()) != want {
			t.Errorf("%v: %d partials and the temporary files %q are left", end, n, g.temps())
		}
	}
}

func (g *rig) edgeOf(uid transfer.UID) *edge {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.edges[uid]
}

// TestP6CancelOfACompleteTree: where all is published nothing is left to stop, and the
// transfer comes to its end, also if its owner did not ask for that yet.
func TestP6CancelOfACompleteTree(t *testing.T) {
	tests := []struct {
		name     string
		change   func(*transfer.Open)
		end      transfer.End
		noScan   bool
		complete bool
	}{
		{name: "cancel", end: transfer.EndCancel, complete: true},
		{name: "purge", end: transfer.EndPurge, complete: true},
		{name: "pause", end: transfer.EndPause},
		{name: "more may come", end: transfer.EndCancel, noScan: true},
		{name: "a deletion is left", end: transfer.EndCancel, change: func(m *transfer.Open) { m.Mode, m.Options.Delete = transfer.ModeSync, true }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t)
			g.write("d/extra", []byte("x"), testTime)
			change := tt.change
			if change == nil {
				change = func(*transfer.Open) {}
			}
			o := g.dial(g.request("d", change))
			o.announce(dir(root, ""), regular(0, "f", pattern(2*testChunk, 1)), endDir(0))
			o.serve()
			if !tt.noScan {
				o.send(&transfer.ScanDone{Entries: 3})
			}
			o.send(&transfer.Abort{End: tt.end})
			fin := o.finished()
			if fin.Complete != tt.complete || fin.Err != nil {
				t.Errorf("%+v", fin)
			}
			g.wantFile("d/f", o.sources[1].data)
			if !exists(g.path("d/extra")) {
				t.Error("the cancel came first, and something is deleted")
			}
			if tt.end != transfer.EndPause {
				g.wantClean()
			}
		})
	}
}
