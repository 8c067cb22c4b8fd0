package verbs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/rdma/rdmatest"
	"github.com/xferd/xferd/transport"
)

// size of what is moved while something breaks: more chunks than slots.
const size = 30*chunkSize + 77

// broken runs an edge that something happens to in the middle, while a session's
// slots are full, and then lets the rest go by another path.
func broken(t *testing.T, r *rig, happens func(e *edge)) (resent int, err error) {
	t.Helper()
	s, data := newStore(size), content(size)
	e := r.connect(t, s)
	middle, happened := make(chan struct{}), make(chan struct{})
	var n atomic.Int32
	s.place = func(ctx context.Context, _ int64) error {
		switch i := n.Add(1); {
		case i < 6:
			return nil
		case i == 6:
			close(middle)
		}
		select {
		case <-happened:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	done := e.start(t.Context(), data, s)
	<-middle
	happens(e)
	close(happened)
	err = <-done
	return e.finish(t, data, s), err
}

// statusOf finds the completion that ended a session.
func statusOf(err error) rdma.Status {
	if c, ok := errors.AsType[*rdma.CompletionError](err); ok {
		return c.Status
	}
	return rdma.Success
}

// A process that is killed at a step of the set-up is TestA7LostMessage; here it
// happens while chunks are on their way. The kernel takes its queue pairs.
func TestB1Killed(t *testing.T) {
	t.Run("source", func(t *testing.T) {
		inBubble(t, setup{}, func(t *testing.T, r *rig) {
			_, err := broken(t, r, func(e *edge) {
				r.a.Fatal()
				_ = e.out.control.Close()
			})
			if err == nil {
				t.Error("no error")
			}
		})
	})
	t.Run("target", func(t *testing.T) {
		inBubble(t, setup{}, func(t *testing.T, r *rig) {
			_, err := broken(t, r, func(e *edge) {
				r.b.Fatal()
				_ = e.in.Close()
			})
			if err == nil {
				t.Error("no error")
			}
		})
	})
	// The source is gone before it sent anything: only the control stream tells.
	t.Run("idle source", func(t *testing.T) {
		inBubble(t, setup{}, func(t *testing.T, r *rig) {
			s := newStore(0)
			e := r.connect(t, s)
			_ = e.out.control.Close()
			for r.b.Counters().QueuePairs > 0 { // fenced without being asked
				time.Sleep(time.Millisecond)
			}
			_ = e.close(t)
		})
	})
}

func TestB2Silent(t *testing.T) {
	for _, tt := range []struct {
		name    string
		happens func(r *rig)
		want    rdma.Status // Success: something else was faster
	}{
		{"black hole", func(r *rig) { r.fabric.BlackHole(r.a, r.b) }, rdma.RetryExceeded},
		{"target stands still", func(r *rig) { r.b.Freeze() }, rdma.RetryExceeded},
		{"source stands still", func(r *rig) { r.a.Freeze() }, rdma.Success},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, setup{}, func(t *testing.T, r *rig) {
				start := time.Now()
				resent, err := broken(t, r, func(*edge) { tt.happens(r) })
				if err == nil || resent == 0 {
					t.Errorf("error %v, %d chunks by the other path", err, resent)
				}
				if got := statusOf(err); tt.want != rdma.Success && got != tt.want {
					t.Errorf("%v, want %s", err, tt.want)
				}
				if d := time.Since(start); d > 40*time.Second { // Stall, Drain and some
					t.Errorf("it took %s", d)
				}
				r.a.Thaw()
				r.b.Thaw()
			})
		})
	}
}

// Only acknowledgements are lost: the source has an error, and everything that it
// wrote is there.
func TestB3LostAcknowledgements(t *testing.T) {
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		s, data := newStore(size), content(size)
		e := r.connect(t, s)
		r.fabric.Link(r.b, r.a).Drop()
		err := <-e.start(t.Context(), data, s)
		if statusOf(err) != rdma.RetryExceeded {
			t.Errorf("%v, want %s", err, rdma.RetryExceeded)
		}
		if err := e.close(t); err != nil {
			t.Error(err)
		}
		landed := s.count()
		if landed == 0 {
			t.Error("nothing landed")
		}
		// What the target answered for is no question, although no acknowledgement
		// came.
		for _, c := range chunks(data, nil) {
			if c.Extents[0].Offset/chunkSize >= int64(landed) {
				continue
			}
			if v := e.feed.Verdict(t, c.Seq, 0); v.Code != transport.Placed && v.Code != transport.Unknown {
				t.Errorf("chunk %d: %v", c.Seq, v.Code)
			}
		}
		if resent := e.finish(t, data, s); resent != 31-landed {
			t.Errorf("%d chunks were sent again, %d had landed", resent, landed)
		}
	})
}

func TestB4LossAndDamage(t *testing.T) {
	t.Run("loss", func(t *testing.T) {
		inBubble(t, setup{}, func(t *testing.T, r *rig) {
			var faults sync.WaitGroup
			resent, err := broken(t, r, func(*edge) {
				faults.Go(func() {
					for range 20 {
						r.fabric.BlackHole(r.a, r.b)
						time.Sleep(3 * time.Millisecond) // more than one try, fewer than all
						r.fabric.Join(r.a, r.b)
						time.Sleep(3 * time.Millisecond)
					}
				})
			})
			faults.Wait()
			if err != nil || resent != 0 {
				t.Errorf("%v, %d chunks by another path", err, resent)
			}
		})
	})
	t.Run("lost acknowledgements come again", func(t *testing.T) {
		inBubble(t, setup{}, func(t *testing.T, r *rig) {
			var faults sync.WaitGroup
			resent, err := broken(t, r, func(*edge) {
				faults.Go(func() {
					for range 5 {
						r.fabric.Link(r.b, r.a).Drop()
						time.Sleep(3 * time.Millisecond)
						r.fabric.Link(r.b, r.a).Pass()
						time.Sleep(3 * time.Millisecond)
					}
				})
			})
			faults.Wait()
			if err != nil || resent != 0 {
				t.Errorf("%v, %d chunks by another path", err, resent)
			}
		})
	})
	t.Run("damage", func(t *testing.T) { // that no checksum of the network sees
		inBubble(t, setup{}, func(t *testing.T, r *rig) {
			s, data := newStore(size), content(size)
			e := r.connect(t, s)
			r.a.Inject(rdmatest.SendFault{Override: true, Land: rdmatest.LandDamaged, Index: 3})
			if err := <-e.start(t.Context(), data, s); err != nil {
				t.Error(err)
			}
			if s.bad[transport.Mismatch] != 1 || e.in.Stats().Mismatches != 1 {
				t.Errorf("%d mismatches", s.bad[transport.Mismatch])
			}
			if n := e.finish(t, data, s); n != 1 {
				t.Errorf("%d chunks by another path, want the damaged one", n)
			}
		})
	})
	t.Run("damaged header", func(t *testing.T) {
		inBubble(t, setup{}, func(t *testing.T, r *rig) {
			s, data := newStore(size), content(size)
			e := r.connect(t, s)
			r.a.Inject(rdmatest.SendFault{Override: true, Land: rdmatest.LandDamaged, Index: 4})
			if err := <-e.start(t.Context(), data, s); err == nil {
				t.Error("a header that is damaged was taken")
			}
			e.finish(t, data, s)
		})
	})
}

func TestB5PortDown(t *testing.T) {
	t.Run("short", func(t *testing.T) {
		inBubble(t, setup{}, func(t *testing.T, r *rig) {
			resent, err := broken(t, r, func(*edge) {
				r.a.PortDown()
				time.Sleep(5 * time.Millisecond) // of 14 that the retries last
				r.a.PortUp()
			})
			if err != nil || resent != 0 {
				t.Errorf("%v, %d chunks by another path", err, resent)
			}
		})
	})
	for _, end := range []string{"source", "target"} {
		t.Run("long, "+end, func(t *testing.T) {
			inBubble(t, setup{}, func(t *testing.T, r *rig) {
				d := r.a
				if end == "target" {
					d = r.b
				}
				resent, err := broken(t, r, func(*edge) { d.PortDown() })
				if err == nil || resent == 0 {
					t.Errorf("%v, %d chunks by another path", err, resent)
				}
				e := newEdge()
				in, err := r.dst.Prepare(t.Context(), e.id, newStore(0), transport.PrepareOptions{Streams: 1, ChunkSize: chunkSize})
				if err == nil {
					e.in = in.(*incoming)
					err = r.dial(t.Context(), e)
					_ = e.in.Close()
				}
				if reason(t, err) != transport.PortDown {
					t.Errorf("%v, want %s", err, transport.PortDown)
				}
				d.PortUp()
			})
		})
	}
}

func TestB6ReceiverNotReady(t *testing.T) {
	t.Run("it stops to post", func(t *testing.T) {
		inBubble(t, setup{}, func(t *testing.T, r *rig) {
			resent, err := broken(t, r, func(*edge) { r.dst.audit.swallow() })
			if statusOf(err) != rdma.ReceiverNotReadyRetries || resent == 0 {
				t.Errorf("%v, %d chunks by another path, want %s", err, resent, rdma.ReceiverNotReadyRetries)
			}
		})
	})
	t.Run("posting fails", func(t *testing.T) {
		inBubble(t, setup{}, func(t *testing.T, r *rig) {
			resent, err := broken(t, r, func(*edge) { r.b.Fail(rdmatest.VerbPostReceive, 0, errors.New("no more")) })
			if err == nil || resent == 0 {
				t.Errorf("%v, %d chunks by another path", err, resent)
			}
		})
	})
}

func TestB7Overrun(t *testing.T) {
	for _, deaf := range []bool{false, true} { // without the event it takes the stall
		for _, end := range []string{"source", "target"} {
			t.Run(fmt.Sprintf("%s, deaf %t", end, deaf), func(t *testing.T) {
				inBubble(t, setup{deaf: deaf}, func(t *testing.T, r *rig) {
					resent, err := broken(t, r, func(*edge) {
						if end == "source" {
							r.a.BreakCompletionQueues()
						} else {
							r.b.BreakCompletionQueues()
						}
					})
					if err == nil || resent == 0 {
						t.Errorf("%v, %d chunks by another path", err, resent)
					}
					s, data := newStore(size), content(size)
					e := r.connect(t, s) // with queues of its own
					if err := <-e.start(t.Context(), data, s); err != nil {
						t.Error(err)
					}
					e.finish(t, data, s)
				})
			})
		}
	}
}
