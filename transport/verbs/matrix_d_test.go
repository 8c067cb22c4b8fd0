package verbs

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/rdma/rdmatest"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/transporttest"
)

// Memory cannot be locked: the reason is told at both ends, and when the limit is
// raised RDMA is there.
func TestD2Memlock(t *testing.T) {
	for _, end := range []string{"source", "target"} {
		for _, errno := range []syscall.Errno{syscall.ENOMEM, syscall.EPERM} {
			inBubble(t, setup{}, func(t *testing.T, r *rig) {
				d := r.a
				if end == "target" {
					d = r.b
				}
				d.Fail(rdmatest.VerbRegister, 0, errno)
				s, data, e := newStore(size), content(size), newEdge()
				r.prepare(t, e, s)
				if err := r.dial(t.Context(), e); reason(t, err) != transport.Memlock {
					t.Errorf("%s, %v: %v", end, errno, err)
				}
				_ = e.close(t)
				d.Heal()
				e = r.connect(t, s)
				if err := <-e.start(t.Context(), data, s); err != nil {
					t.Error(err)
				}
				e.finish(t, data, s)
			})
		}
	}
	t.Run("a limit in bytes", func(t *testing.T) {
		inBubble(t, setup{memory: 3 * chunkSize}, func(t *testing.T, r *rig) {
			e := newEdge()
			r.prepare(t, e, newStore(0))
			if err := r.dial(t.Context(), e); reason(t, err) != transport.Memlock {
				t.Error(err)
			}
			_ = e.close(t)
		})
	})
}

// A hundred edges at a time with buffers for a few: all get on, none gets all.
func TestD4ManyWithFewBuffers(t *testing.T) {
	inBubble(t, setup{pool: 2 << 20, limits: Limits{Handshake: time.Hour}}, func(t *testing.T, r *rig) {
		const edges = 100
		var mu sync.Mutex
		most := int64(0)
		data := content(5 * chunkSize)
		var all sync.WaitGroup
		for range edges {
			all.Go(func() {
				s := newStore(len(data))
				s.landed = func(int64) {
					mu.Lock()
					defer mu.Unlock()
					most = max(most, r.dst.recv.InUse())
				}
				e := newEdge()
				r.prepare(t, e, s)
				if err := r.dial(t.Context(), e); err != nil {
					t.Error(err)
					_ = e.close(t)
					return
				}
				if err := <-e.start(t.Context(), data, s); err != nil {
					t.Error(err)
				}
				if n := e.finish(t, data, s); n != 0 {
					t.Errorf("%d chunks by another path", n)
				}
			})
		}
		all.Wait()
		if budget := r.dst.recv.Budget(); most > budget/2 {
			t.Errorf("sessions held %d bytes of %d", most, budget)
		}
	})
}

// Who comes first does not take so much that those who come later starve.
func TestD4SharesOfThePool(t *testing.T) {
	inBubble(t, setup{pool: 64 << 20, limits: Limits{Slots: 64}}, func(t *testing.T, r *rig) {
		var slots []int
		var all []*edge
		for range 4 {
			e := newEdge()
			e.size = 1 << 20
			r.prepare(t, e, newStore(0))
			if err := r.dial(t.Context(), e); err != nil {
				t.Error(err)
			} else {
				slots = append(slots, len(e.out.slots))
			}
			all = append(all, e)
		}
		for i, n := range slots {
			if n < 1 || n > 16 || i > 0 && n > slots[i-1] {
				t.Errorf("slots of sessions that came one after the other: %v", slots)
			}
		}
		for _, p := range []*bufpool.Pool{r.src.send, r.dst.recv} {
			if n := p.InUse(); n > p.Budget()/2 {
				t.Errorf("sessions hold %d bytes of %d", n, p.Budget())
			}
		}
		for _, e := range all {
			if err := e.close(t); err != nil {
				t.Error(err)
			}
		}
	})
}

// With the buffers of a node as they are by default, every chunk size leaves a
// session more than one slot, so that it need not wait for each answer.
func TestD4SlotsOfChunkSizes(t *testing.T) {
	b := newBuffers(bufpool.New(128 << 20))
	for chunk, want := range map[int64]int{1 << 20: 8, 4 << 20: 8, 8 << 20: 4, 16 << 20: 2, 5 << 20: 4, 64 << 20: 1} {
		if n := b.slots(chunk, 8); n != want {
			t.Errorf("%d slots of %d bytes, want %d", n, chunk, want)
		}
	}
}

// A session that cannot have one buffer fails with the reason when its time is
// over, and holds nobody up who wants less.
func TestD4NoBuffers(t *testing.T) {
	inBubble(t, setup{pool: 256 << 10}, func(t *testing.T, r *rig) {
		first := r.connect(t, newStore(0))
		e := newEdge()
		r.prepare(t, e, newStore(0))
		if err := r.dial(t.Context(), e); reason(t, err) != transport.NoBuffers {
			t.Error(err)
		}
		_ = e.close(t)
		_ = first.close(t)
		e = r.connect(t, newStore(0))
		_ = e.close(t)
	})
}

// The target cannot write what arrives: the source is told of what and why, and
// the session lives.
func TestD5TargetCannotWrite(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	reader, writer, err := os.Pipe() // no pwrite there
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer writer.Close()
	for name, tt := range map[string]struct {
		file *os.File
		want string
	}{"no space": {full, "no space left on device"}, "I/O error": {writer, "illegal seek"}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, setup{}, func(t *testing.T, r *rig) {
				s, data := newStore(size), content(size)
				s.file = tt.file
				e := r.connect(t, s)
				if err := <-e.start(t.Context(), data, s); err != nil {
					t.Error(err)
				}
				if err := e.close(t); err != nil {
					t.Error(err)
				}
				for _, c := range chunks(data, nil) {
					v := e.feed.Verdict(t, c.Seq, 0)
					if v.Code != transport.Refused || v.Err == nil || !strings.Contains(v.Err.Error(), tt.want) {
						t.Fatalf("chunk %d: %v, %v", c.Seq, v.Code, v.Err)
					}
				}
				if n := s.count(); n != 0 {
					t.Errorf("%d chunks are said to have landed", n)
				}
			})
		})
	}
}

// The sink gives up in the middle: the session ends, fenced, and the source hears
// of it.
func TestD5SinkFails(t *testing.T) {
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		s, data := newStore(size), content(size)
		e := r.connect(t, s)
		s.place = func(_ context.Context, offset int64) error {
			if offset > 5*chunkSize {
				return errors.New("the journal is full")
			}
			return nil
		}
		e.feed = transporttest.NewFeed(chunks(data, nil)...)
		if err := <-e.startFeed(t.Context()); err == nil {
			t.Error("no error")
		}
		for r.b.Counters().QueuePairs > 0 {
			time.Sleep(time.Millisecond)
		}
		e.finish(t, data, s)
	})
}
