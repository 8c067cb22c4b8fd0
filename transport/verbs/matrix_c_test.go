package verbs

import (
	"bytes"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/rdma/rdmatest"
	"github.com/xferd/xferd/transport"
)

// late are the ways in which writes of a source that was given up come later: its
// device stood still with work posted, or its packets were still on their way.
var late = map[string]struct{ before, after func(r *rig) }{
	"frozen source": {func(r *rig) { r.a.Freeze() }, func(r *rig) { r.a.Thaw() }},
	"late packets":  {func(r *rig) { r.fabric.Link(r.a, r.b).Hold() }, func(r *rig) { r.fabric.Link(r.a, r.b).Release() }},
}

// takeAll leases the memory that a fenced session had, as its next user would.
func takeAll(t *testing.T, p *bufpool.Pool, was map[uintptr]*auditMR) []*bufpool.Buffer {
	t.Helper()
	left := map[uintptr]bool{}
	var all []*bufpool.Buffer
	for from, m := range was {
		left[from] = true
		b, ok := p.TryGet(int(m.to - m.from))
		if !ok {
			t.Fatal("no buffers")
		}
		all = append(all, b)
	}
	for _, b := range all {
		delete(left, uintptr(unsafe.Pointer(unsafe.SliceData(b.Bytes()))))
	}
	if len(left) > 0 {
		t.Fatalf("%d slabs of the session did not come back", len(left))
	}
	return all
}

// staleWrite lets the target give up a source with writes on their way, uses its
// memory for something else, and lets the writes come. It reports whether that
// memory changed.
func staleWrite(t *testing.T, r *rig, before, after func(r *rig)) (corrupt bool) {
	t.Helper()
	s, data := newStore(size), content(size)
	e := r.connect(t, s)
	was := r.dst.audit.writable()
	before(r)
	e.asleep.Store(true)
	done := e.start(t.Context(), data, s)
	synctest.Wait() // everything that fits is posted
	if err := e.in.Close(); err != nil {
		t.Errorf("the fence: %v", err)
	}
	canary := bytes.Repeat([]byte{0xca}, len(data))
	copied := takeAll(t, r.dst.recv, was)
	for _, b := range copied {
		copy(b.Bytes(), canary)
	}
	other(t, data, s) // the bytes of the transfer, by another path
	after(r)
	time.Sleep(time.Second) // twice what the retries take, and more
	synctest.Wait()
	for _, b := range copied {
		if !bytes.Equal(b.Bytes(), canary[:len(b.Bytes())]) {
			corrupt = true
		}
		b.Release()
	}
	s.check(t, data)
	e.asleep.Store(false)
	if err := <-done; err == nil {
		t.Error("the source was told of no error")
	}
	if err := e.close(t); err != nil {
		t.Error(err)
	}
	e.feed.Settled(t)
	return corrupt
}

func TestC1P10StaleWrite(t *testing.T) {
	for name, l := range late {
		t.Run(name, func(t *testing.T) {
			inBubble(t, setup{hidden: true}, func(t *testing.T, r *rig) {
				if staleWrite(t, r, l.before, l.after) {
					t.Error("memory was written to after its fence")
				}
			})
		})
	}
}

// The same without the fence: it must be seen, or TestC1 shows nothing.
func TestC2P10WithoutTheFenceItIsSeen(t *testing.T) {
	for name, l := range late {
		t.Run(name, func(t *testing.T) {
			inBubble(t, setup{hidden: true}, func(t *testing.T, r *rig) {
				before := func(r *rig) {
					r.dst.audit.lie()
					l.before(r)
				}
				if !staleWrite(t, r, before, l.after) {
					t.Error("the fence did nothing, and the canary lived")
				}
			})
		})
	}
}

// The device hands a key out again for the same memory, as real ones do. Late
// writes of the session before, which have all it takes, do not land in the next.
func TestC3KeysAreIssuedAgain(t *testing.T) {
	for name, l := range late {
		t.Run(name, func(t *testing.T) {
			inBubble(t, setup{hidden: true}, func(t *testing.T, r *rig) {
				s, data := newStore(size), content(size)
				old := r.connect(t, s)
				was := r.dst.audit.writable()
				keys := map[uintptr]uint32{}
				for from, m := range was {
					keys[from] = m.RemoteKey()
				}
				l.before(r)
				old.asleep.Store(true)
				done := old.start(t.Context(), bytes.Repeat([]byte{0xbd}, size), s)
				synctest.Wait()
				if err := old.in.Close(); err != nil {
					t.Fatal(err)
				}
				// The next session is of another source.
				r.fabric.Device("n3", rdmatest.DeviceConfig{Addrs: []string{"10.0.0.3"}})
				third := newNode(t, r.fabric.Driver("n3"), 3, &setup{pool: 16 << 20})
				defer third.close(t)
				next := &rig{fabric: r.fabric, src: third, dst: r.dst}
				// Keys and slabs come back last one first: the second session after it
				// has the same pairs of both.
				if err := next.connect(t, s).close(t); err != nil {
					t.Error(err)
				}
				e := next.connect(t, s)
				again := 0
				for from, m := range r.dst.audit.writable() {
					if key, ok := keys[from]; ok && key == m.RemoteKey() {
						again++
					}
				}
				if again == 0 {
					t.Error("no key was issued again: the test shows nothing")
				}
				errors := r.b.Counters().AccessErrors
				l.after(r)
				if err := <-e.start(t.Context(), data, s); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second)
				if n := e.finish(t, data, s); n != 0 {
					t.Errorf("%d chunks by another path", n)
				}
				if n := r.b.Counters().AccessErrors; n != errors {
					t.Errorf("%d accesses got as far as a key", n-errors)
				}
				old.asleep.Store(false)
				if err := <-done; err == nil {
					t.Error("the old source was told of no error")
				}
				_ = old.close(t)
			})
		})
	}
}

// Until a request has completed its memory is the device's: a chunk that the
// target answered for keeps its slab while the acknowledgement is on its way, and
// is not given back.
func TestC4SourceKeepsItsMemory(t *testing.T) {
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		s, data := newStore(size), content(size)
		e := r.connect(t, s)
		slots := len(e.out.slots)
		back := r.fabric.Link(r.b, r.a)
		back.Hold()
		done := e.start(t.Context(), data, s)
		time.Sleep(5 * time.Millisecond) // of 14
		if n := s.count(); n != slots {
			t.Errorf("%d chunks landed, want one for each of %d slots", n, slots)
		}
		if n := e.out.Stats().Chunks; n != 0 {
			t.Errorf("%d chunks were given back before the device was done with them", n)
		}
		back.Release()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := e.finish(t, data, s); n != 0 {
			t.Errorf("%d chunks by another path", n)
		}
	})
	t.Run("changed all the same", func(t *testing.T) {
		inBubble(t, setup{hidden: true}, func(t *testing.T, r *rig) {
			s, data := newStore(chunkSize), content(chunkSize)
			e := r.connect(t, s)
			r.fabric.BlackHole(r.a, r.b)
			done := e.start(t.Context(), data, s)
			synctest.Wait()
			for _, sl := range e.out.slots {
				sl.data[17] ^= 1 // and it is sent again
			}
			r.fabric.Join(r.a, r.b)
			if err := <-done; err != nil {
				t.Error(err)
			}
			if n := s.bad[transport.Mismatch]; n != 1 {
				t.Errorf("%d mismatches", n)
			}
			e.finish(t, data, s)
		})
	})
}

// A chunk waits for its queue pair while its session is ended: it must not be
// posted any more.
func TestC5NothingIsPostedAfterTheEnd(t *testing.T) {
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		s, data := newStore(chunkSize), content(chunkSize)
		e := r.connect(t, s)
		p := e.out.s.domains[0].pairs[0]
		p.post.Lock()
		done := e.start(t.Context(), data, s)
		for { // it does not park on a mutex, as the bubble sees it
			e.out.mu.Lock()
			posted := e.out.slots[0].posted || e.out.slots[1].posted
			e.out.mu.Unlock()
			if posted {
				break
			}
			runtime.Gosched()
		}
		before := r.a.Counters().Requests
		if err := e.out.Close(); err != nil {
			t.Error(err)
		}
		p.post.Unlock()
		if err := <-done; err == nil {
			t.Error("no error")
		}
		if n := r.a.Counters().Requests; n != before {
			t.Errorf("%d requests were posted after the end", n-before)
		}
		if n := e.finish(t, data, s); n != 1 {
			t.Errorf("%d chunks by another path", n)
		}
	})
}

func TestC7ReadyToReceiveOnly(t *testing.T) {
	for _, end := range []string{"source", "target"} {
		inBubble(t, setup{}, func(t *testing.T, r *rig) {
			d := r.b
			if end == "source" {
				d = r.a
			}
			d.Slow(rdmatest.VerbToReadyToSend, 0, 50*time.Millisecond, nil)
			s, data := newStore(size), content(size)
			e := r.connect(t, s)
			for _, n := range []*node{r.src, r.dst} {
				for s := range n.sessions {
					for _, d := range s.domains {
						if st, err := d.pairs[0].qp.State(); st != rdma.StateReadyToSend || err != nil {
							t.Errorf("a queue pair is in %s, %v", st, err)
						}
					}
				}
			}
			if err := <-e.start(t.Context(), data, s); err != nil {
				t.Error(err)
			}
			if n := e.finish(t, data, s); n != 0 {
				t.Errorf("%d chunks by another path", n)
			}
			if c := r.b.Counters(); c.Unwanted+c.NotReady+c.OutOfOrder != 0 || r.a.Counters().Retries != 0 {
				t.Errorf("something was sent too early: %+v", c)
			}
		})
	}
}

func TestC8SequenceNumberBehind(t *testing.T) {
	for _, by := range []uint32{1, 3, 100, 0xffffff} { // the last one is ahead by one
		inBubble(t, setup{}, func(t *testing.T, r *rig) {
			s, data, e := newStore(chunkSize), content(chunkSize), newEdge()
			e.toTarget = func(_ int, msg []byte) ([]byte, error) {
				if kind(msg[0]) == kindConnect {
					msg = rewrite(msg, func(c *connect) { c.Pairs[0].PSN = (c.Pairs[0].PSN + by) & 0xffffff })
				}
				return msg, nil
			}
			r.prepare(t, e, s)
			if err := r.dial(t.Context(), e); reason(t, err) != transport.ProbeFailed {
				t.Errorf("%v, want %s", err, transport.ProbeFailed)
			}
			e.finish(t, data, s)
		})
	}
}
