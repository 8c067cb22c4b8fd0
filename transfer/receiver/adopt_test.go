package receiver

import (
	"testing"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// Directories that were made for a partial go with it, also when another transfer,
// which found them there, went on from it and came to nothing.
func TestP6DirectoriesOfAnAdoptedPartial(t *testing.T) {
	s := regular(root, "", pattern(4*testChunk, 3))
	changed := s
	changed.Print.Mtime++
	for name, end := range map[string]func(*owner){
		"purged":    func(o *owner) { o.abort(transfer.EndPurge) },
		"cancelled": func(o *owner) { o.abort(transfer.EndCancel) },
		"failed": func(o *owner) {
			o.send(&transfer.EntryGiveUp{Entry: 0})
			o.want(0, transfer.OutcomeFailed)
			o.finish()
		},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				g := newRig(t)
				m := g.request("a/b/f", exact)
				g.interrupt(m, s, 3, transfer.EndCancel)
				again := next(m)
				again.UID = transfer.NewUID()
				o := g.dial(again)
				o.announce(s)
				if a := o.answer(0); a.Want != transfer.WantRanges || a.Ranges[0] != (transport.Range{Offset: 3 * testChunk, Length: testChunk}) {
					t.Fatalf("asked for %+v", a)
				}
				if restart {
					o.close()
					g.restart()
					again = next(again)
					o = g.dial(again)
					o.announce(s)
					o.answer(0)
				}
				end(o)
				if name == "cancelled" { // it is kept once more, for who drops it
					if g.partials() != 1 {
						t.Fatal("nothing is kept")
					}
					o = g.dial(next(again))
					o.abort(transfer.EndPurge)
				}
				g.wantClean()
				if exists(g.path("a")) {
					t.Error("P6: directories of their making are left")
				}
			})
		}
	}
	t.Run("outdated", func(t *testing.T) {
		g := newRig(t)
		m := g.request("a/b/f", exact)
		g.interrupt(m, s, 3, transfer.EndCancel)
		o := g.dial(next(m)) // the same transfer: its source changed, and cannot be read
		o.announce(changed)
		o.answer(0)
		o.send(&transfer.EntryGiveUp{Entry: 0})
		o.want(0, transfer.OutcomeFailed)
		o.finish()
		g.wantClean()
		if exists(g.path("a")) {
			t.Error("P6: directories of its making are left")
		}
	})
}
