package receiver

import (
	"os"
	"testing"
	"time"

	"github.com/xferd/xferd/transfer"
)

// sharing is one directory, new/d, that several transfers copy into. The first one
// makes it.
type sharing struct {
	*rig
	t *testing.T
}

// join opens a copy of one large file into the directory, of which a part is there.
func (s sharing) join(name string, into bool) *owner {
	s.t.Helper()
	m := s.request("new/d", names(name))
	entry := name
	if !into {
		m = s.request("new/d/"+name, exact)
		entry = ""
	}
	o := s.dial(m)
	o.announce(regular(root, entry, pattern(3*testChunk, 1)))
	o.answer(0)
	return o
}

func (s sharing) finish(o *owner) {
	s.t.Helper()
	for i := range 3 {
		if v := o.land(o.extent(0, int64(i)*testChunk)); v[0].Err != nil {
			s.t.Errorf("%+v", v)
		}
	}
	o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 0, Digest: transfer.FileDigest(testChunk, 3*testChunk, o.digests(0))}}})
	o.want(0, transfer.OutcomePublished)
	if fin := o.finish(); fin.Err != nil {
		s.t.Error(fin.Err)
	}
}

// fails ends a copy of which nothing could be made.
func (s sharing) fails(o *owner) {
	s.t.Helper()
	o.send(&transfer.EntryGiveUp{Entry: 0})
	o.want(0, transfer.OutcomeFailed)
	o.finish()
}

func (s sharing) abort(end transfer.End) func(*owner) {
	return func(o *owner) { o.abort(end) }
}

func (s sharing) abandoned(o *owner) {
	s.t.Helper()
	if err := s.Abandon(s.t.Context(), o.open.UID); err != nil {
		s.t.Error(err)
	}
	o.close()
}

// Whoever of several transfers into one directory ends first, and however: the
// directory stays for the others, and nothing of it is left when nothing was copied.
func TestP6DirectoryOfSeveral(t *testing.T) {
	ends := map[string]func(sharing) func(*owner){
		"cancelled": func(s sharing) func(*owner) { return s.abort(transfer.EndCancel) },
		"purged":    func(s sharing) func(*owner) { return s.abort(transfer.EndPurge) },
		"failed":    func(s sharing) func(*owner) { return s.fails },
		"abandoned": func(s sharing) func(*owner) { return s.abandoned },
	}
	for name, end := range ends {
		for _, into := range []bool{true, false} {
			for _, order := range [][]int{{0, 1, 2}, {1, 0, 2}, {2, 1, 0}} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					s := sharing{newRig(t), t}
					o := []*owner{s.join("a", into), s.join("b", true), s.join("c", into)}
					end(s)(o[order[0]])
					end(s)(o[order[1]])
					if !exists(s.path("new/d")) {
						t.Fatal("the directory is gone from under the last one")
					}
					s.finish(o[order[2]])
					s.wantFile("new/d/"+string(rune('a'+order[2])), pattern(3*testChunk, 1))
					s.wantClean()

					s = sharing{newRig(t), t}
					o = []*owner{s.join("a", into), s.join("b", into), s.join("c", true)}
					for _, i := range order {
						end(s)(o[i])
					}
					if exists(s.path("new")) {
						t.Error("P6: directories that they made are left")
					}
					s.wantClean()
				})
			}
		}
	}
}

// One that was copied stays, whatever becomes of the others.
func TestP5DirectoryOfSeveral(t *testing.T) {
	for first := range 2 {
		s := sharing{newRig(t), t}
		o := []*owner{s.join("a", true), s.join("b", true)}
		s.finish(o[first])
		o[1-first].abort(transfer.EndPurge)
		s.wantFile("new/d/"+string(rune('a'+first)), pattern(3*testChunk, 1))
		s.wantClean()
	}
}

// Partials keep the directories that they lie in, whoever made these, and the last
// one of them takes the directories along.
func TestP6DirectoryOfPartials(t *testing.T) {
	for _, order := range [][]int{{0, 1}, {1, 0}} {
		s := sharing{newRig(t, func(c *Config) { c.PartialTTL = time.Hour }), t}
		o := []*owner{s.join("a", true), s.join("b", true)}
		for _, i := range order {
			o[i].land(o[i].extent(0, 0))
			o[i].abort(transfer.EndCancel)
		}
		if s.partials() != 2 || len(s.temps()) != 2 {
			t.Fatalf("%d partials, %q", s.partials(), s.temps())
		}
		if err := s.sweep(time.Now().Add(2 * time.Hour)); err != nil {
			t.Error(err)
		}
		if exists(s.path("new")) {
			t.Error("P6: directories that they made are left")
		}
		s.wantClean()
	}
}

// A partial goes while another transfer has begun to use its directory.
func TestPartialGoesFromUnderATransfer(t *testing.T) {
	for _, purge := range []bool{true, false} {
		s := sharing{newRig(t, func(c *Config) { c.PartialTTL = time.Hour }), t}
		a := s.join("a", true)
		a.land(a.extent(0, 0))
		a.abort(transfer.EndCancel)
		b := s.join("b", true)
		if err := s.sweep(time.Now().Add(2 * time.Hour)); err != nil {
			t.Error(err)
		}
		if s.partials() != 0 || len(s.temps()) != 0 || !exists(s.path("new/d")) {
			t.Fatalf("%d partials, %q", s.partials(), s.temps())
		}
		if purge {
			b.abort(transfer.EndPurge)
			if exists(s.path("new")) {
				t.Error("P6: directories that they made are left")
			}
		} else {
			s.finish(b)
			s.wantFile("new/d/b", pattern(3*testChunk, 1))
		}
		s.wantClean()
	}
}

// An owner that does not come back, over a restart.
func TestDirectoryOfALostTransfer(t *testing.T) {
	for _, finish := range []bool{true, false} {
		s := sharing{newRig(t, func(c *Config) { c.OrphanTTL = time.Hour }), t}
		s.join("a", true).close()
		s.restart()
		b := s.join("b", true)
		if err := s.sweep(time.Now().Add(2 * time.Hour)); err != nil {
			t.Error(err)
		}
		if len(s.Incoming()) != 1 || !exists(s.path("new/d")) {
			t.Fatalf("%+v", s.Incoming())
		}
		if finish {
			s.finish(b)
			s.wantFile("new/d/b", pattern(3*testChunk, 1))
		} else {
			b.abort(transfer.EndCancel)
			if exists(s.path("new")) {
				t.Error("P6: directories that they made are left")
			}
		}
		s.wantClean()
	}
}

// A directory that one tree made is in another one, too, which is about to put
// something into it.
func TestP6DirectoryInTwoTrees(t *testing.T) {
	for _, end := range []transfer.End{transfer.EndCancel, 0} {
		g := newRig(t)
		a := g.dial(g.request("t/sub/in/a"))
		b := g.dial(g.request("t"))
		b.announce(dir(root, ""), dir(0, "sub"), regular(1, "f", []byte("f")))
		b.want(1, transfer.OutcomePublished)
		b.await("answer", func() bool { return len(b.answers) > 0 })
		a.abort(transfer.EndPurge)
		if !exists(g.path("t/sub")) || exists(g.path("t/sub/in")) {
			t.Error("what one made and nobody uses stays, or what is used does not")
		}
		if end != 0 {
			b.abort(end)
			if exists(g.path("t")) {
				t.Error("P6: directories that they made are left")
			}
		} else {
			b.announce(endDir(1), endDir(0))
			b.serve()
			if fin := b.finish(); fin.Err != nil {
				t.Error(fin.Err)
			}
			g.wantFile("t/sub/f", []byte("f"))
		}
		g.wantClean()
	}
}

// One is opened at the very time that the one which made the directory is cancelled.
func TestOneComesWhileAnotherGoes(t *testing.T) {
	s := sharing{newRig(t), t}
	for range 10 {
		a := s.join("a", true)
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			a.send(&transfer.Abort{End: transfer.EndPurge})
		}()
		b := s.join("b", true)
		<-gone
		a.finished()
		s.finish(b)
		s.wantFile("new/d/b", pattern(3*testChunk, 1))
		if err := os.RemoveAll(s.path("new")); err != nil {
			t.Fatal(err)
		}
	}
	s.wantClean()
}
