package verbs

import (
	"errors"
	"sync"
	"testing"

	"github.com/xferd/xferd/transport"
)

func TestA7SimultaneousOpen(t *testing.T) {
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		// Two edges of the same transfer's epoch, and one the other way.
		s1, s2, data := newStore(3*chunkSize), newStore(3*chunkSize), content(3*chunkSize)
		var wg sync.WaitGroup
		e := newEdge()
		r.prepare(t, e, s1)
		back := &rig{fabric: r.fabric, src: r.dst, dst: r.src}
		f := newEdge()
		back.prepare(t, f, s2)
		errs := make([]error, 3)
		twin := &edge{id: e.id, in: e.in, size: e.size} // the same grant: one of the two gets in
		wg.Go(func() { errs[0] = r.dial(t.Context(), e) })
		wg.Go(func() { errs[1] = r.dial(t.Context(), twin) })
		wg.Go(func() { errs[2] = back.dial(t.Context(), f) })
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) || errs[2] != nil {
			t.Fatal(errs)
		}
		if errs[0] != nil {
			e, twin = twin, e
		}
		if n := r.b.Counters().QueuePairs; n != 2 { // one as target, one as source
			t.Errorf("%d queue pairs at the target, want 2", n)
		}
		for _, c := range []struct {
			e *edge
			s *store
		}{{e, s1}, {f, s2}} {
			if err := <-c.e.start(t.Context(), data, c.s); err != nil {
				t.Error(err)
			}
			c.e.finish(t, data, c.s)
		}
	})
}

func TestA7PreparedTwice(t *testing.T) {
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		s, data := newStore(3*chunkSize), content(3*chunkSize)
		first, second := newEdge(), newEdge()
		second.id = first.id
		r.prepare(t, first, s)
		r.prepare(t, second, s)
		if err := r.dial(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		if err := <-second.start(t.Context(), data, s); err != nil {
			t.Error(err)
		}
		if err := first.close(t); err != nil {
			t.Error(err)
		}
		if err := r.dial(t.Context(), first); err == nil {
			t.Error("a fenced edge was joined")
		}
		second.finish(t, data, s)
	})
}

func TestA7LostMessage(t *testing.T) {
	eachMessage(t, func(t *testing.T, cut func(*edge)) {
		inBubble(t, setup{}, func(t *testing.T, r *rig) {
			s, data, e := newStore(chunkSize), content(chunkSize), newEdge()
			cut(e)
			r.prepare(t, e, s)
			if err := r.dial(t.Context(), e); err == nil {
				t.Fatal("a session came up")
			}
			if n := e.finish(t, data, s); n != 1 {
				t.Errorf("%d chunks went by the other path, want all", n)
			}
		})
	})
}

// A message that never comes, of a process that lives: the time for the set-up
// ends it, at both ends.
func TestA7MessageThatNeverComes(t *testing.T) {
	for n := range 2 {
		inBubble(t, setup{}, func(t *testing.T, r *rig) {
			s, data, e := newStore(chunkSize), content(chunkSize), newEdge()
			e.toSource = func(i int, msg []byte) ([]byte, error) {
				if i == n {
					<-e.in.ctx.Done()
				}
				return msg, nil
			}
			r.prepare(t, e, s)
			if err := r.dial(t.Context(), e); err == nil {
				t.Fatal("a session came up")
			}
			e.finish(t, data, s)
		})
	}
}

func TestA7StaleEpoch(t *testing.T) {
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		s, data := newStore(chunkSize), content(chunkSize)
		old := newEdge()
		r.prepare(t, old, s)
		e := newEdge()
		e.id = old.id
		e.id.Epoch++
		r.prepare(t, e, s)
		if err := r.dial(t.Context(), old); err == nil {
			t.Error("an edge of an epoch that is over was joined")
		}
		if _, err := r.dst.Prepare(t.Context(), old.id, s, transport.PrepareOptions{Streams: 1, ChunkSize: chunkSize}); !errors.Is(err, transport.ErrStaleEpoch) {
			t.Errorf("%v, want %v", err, transport.ErrStaleEpoch)
		}
		if err := r.dial(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if err := <-e.start(t.Context(), data, s); err != nil {
			t.Error(err)
		}
		if err := old.close(t); err != nil {
			t.Error(err)
		}
		e.finish(t, data, s)
	})
}

// The target starts anew between its grant and the end of the set-up: nobody
// knows the token any more.
func TestA7TargetStartsAnew(t *testing.T) {
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		s, data := newStore(chunkSize), content(chunkSize)
		old := newEdge()
		r.prepare(t, old, s)
		grant := old.in.Grant()
		if err := old.in.Close(); err != nil {
			t.Fatal(err)
		}
		e := newEdge()
		e.id = old.id
		r.prepare(t, e, s)
		o := transport.DialOptions{Streams: 1, ChunkSize: chunkSize, Verify: true, Control: e.control}
		if _, err := r.src.Dial(t.Context(), e.id, grant, o); err == nil {
			t.Error("the old grant was taken")
		}
		if err := r.dial(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if err := <-e.start(t.Context(), data, s); err != nil {
			t.Error(err)
		}
		e.finish(t, data, s)
	})
}
