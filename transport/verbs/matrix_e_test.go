package verbs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/rdma/rdmatest"
	"github.com/xferd/xferd/transport"
)

// What a source may say in its first message, and must not.
func TestE1NotTheEdgeOfTheGrant(t *testing.T) {
	for name, change := range map[string]func(*connect){
		"token":         func(c *connect) { c.Token[5] ^= 1 },
		"transfer":      func(c *connect) { c.UID[5] ^= 1 },
		"later epoch":   func(c *connect) { c.Epoch++ },
		"earlier epoch": func(c *connect) { c.Epoch-- },
		"chunk size":    func(c *connect) { c.ChunkSize++ },
		"no slots":      func(c *connect) { c.Slots = 0 },
		"no pairs":      func(c *connect) { c.Pairs = nil },
		"rail":          func(c *connect) { c.Pairs[0].Rail = 1 },
		"address":       func(c *connect) { c.Pairs[0].To[15] ^= 1 }, // none of the target's
		"MTU":           func(c *connect) { c.Pairs[0].MTU = 77 },
		"PSN":           func(c *connect) { c.Pairs[0].PSN = 1 << 24 },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, setup{}, func(t *testing.T, r *rig) {
				s, data, e := newStore(chunkSize), content(chunkSize), newEdge()
				e.toTarget = func(_ int, msg []byte) ([]byte, error) {
					if kind(msg[0]) == kindConnect {
						msg = rewrite(msg, change)
					}
					return msg, nil
				}
				r.prepare(t, e, s)
				if err := r.dial(t.Context(), e); err == nil {
					t.Error("a session came up")
				}
				if n := r.b.Counters().MemoryRegions; n != 0 {
					t.Errorf("%d regions are registered", n)
				}
				e.finish(t, data, s)
			})
		})
	}
	t.Run("replayed", func(t *testing.T) {
		inBubble(t, setup{}, func(t *testing.T, r *rig) {
			e := r.connect(t, newStore(0))
			again := &edge{id: e.id, in: e.in, size: e.size}
			if err := r.dial(t.Context(), again); err == nil {
				t.Error("the grant was used twice")
			}
			if err := r.dst.sessionsAlive(1); err != nil {
				t.Error(err)
			}
			_ = e.close(t)
		})
	})
}

func (n *node) sessionsAlive(want int) error {
	n.Transport.mu.Lock()
	defer n.Transport.mu.Unlock()
	if got := len(n.sessions); got != want {
		return fmt.Errorf("%d sessions, want %d", got, want)
	}
	return nil
}

// A source that has its session and its queue pair, and goes beyond its grant:
// it loses the session, and nobody else's memory changes.
func TestE2BeyondTheGrant(t *testing.T) {
	type attack func(own, others *edge, local rdma.SGE) rdma.SendRequest
	write := func(addr uint64, key uint32, local rdma.SGE) rdma.SendRequest {
		r := rdma.SendRequest{Op: rdma.OpWrite, RemoteAddr: addr, RemoteKey: key, NumSGE: 1, Flags: rdma.Signaled, ID: unsignaledID}
		r.SGE[0] = local
		return r
	}
	for name, forge := range map[string]attack{
		"behind its slot": func(own, _ *edge, l rdma.SGE) rdma.SendRequest {
			w := own.out.slots[0].remote
			return write(w.Addr+uint64(w.Size)-uint64(l.Length)+1, w.Keys[0], l)
		},
		"before its slot": func(own, _ *edge, l rdma.SGE) rdma.SendRequest {
			w := own.out.slots[0].remote
			return write(w.Addr-1, w.Keys[0], l)
		},
		"a key that is none": func(own, _ *edge, l rdma.SGE) rdma.SendRequest {
			w := own.out.slots[0].remote
			return write(w.Addr, 0x7fffffff, l)
		},
		"the key of another session": func(_, others *edge, l rdma.SGE) rdma.SendRequest {
			w := others.out.slots[0].remote
			return write(w.Addr, w.Keys[0], l)
		},
		"the cells of another session": func(_, others *edge, l rdma.SGE) rdma.SendRequest {
			return write(others.out.slots[0].remoteCell, others.out.cellKeys[0], l)
		},
		"a read": func(own, _ *edge, l rdma.SGE) rdma.SendRequest {
			w := own.out.slots[0].remote
			r := write(w.Addr, w.Keys[0], l)
			r.Op = rdma.OpRead
			return r
		},
		"an announcement that is not its turn": func(own, _ *edge, _ rdma.SGE) rdma.SendRequest {
			return rdma.SendRequest{Op: rdma.OpWriteWithImm, Imm: immediate(0, 5), Flags: rdma.Signaled, ID: unsignaledID}
		},
		"a slot that there is not": func(own, _ *edge, _ rdma.SGE) rdma.SendRequest {
			return rdma.SendRequest{Op: rdma.OpWriteWithImm, Imm: immediate(4000, 0), Flags: rdma.Signaled, ID: unsignaledID}
		},
		"an announcement of nothing": func(own, _ *edge, _ rdma.SGE) rdma.SendRequest {
			return rdma.SendRequest{Op: rdma.OpWriteWithImm, Imm: immediate(1, 0), Flags: rdma.Signaled, ID: unsignaledID}
		},
		"a message": func(_, _ *edge, l rdma.SGE) rdma.SendRequest {
			r := write(0, 0, l)
			r.Op = rdma.OpSend
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, setup{}, func(t *testing.T, r *rig) {
				own, victim, data := r.connect(t, newStore(0)), newStore(size), content(size)
				others := r.connect(t, victim)
				local := own.out.slots[0].slab.regions[0].Element(0, 4096)
				reqs := []rdma.SendRequest{forge(own, others, local)}
				run := running(own)
				if _, err := own.out.s.domains[0].pairs[0].qp.PostSend(reqs); err != nil && name != "a read" {
					t.Fatal(err)
				} else if err == nil {
					for r.dst.sessionsAlive(1) != nil { // the session is killed
						time.Sleep(time.Millisecond)
					}
				}
				if err := <-others.start(t.Context(), data, victim); err != nil {
					t.Errorf("the victim: %v", err)
				}
				if n := others.finish(t, data, victim); n != 0 {
					t.Errorf("%d chunks of the victim by another path", n)
				}
				_ = own.close(t)
				<-run
			})
		})
	}
}

// running has the source of an edge run, so that it hears of its end.
func running(e *edge) <-chan struct{} {
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = e.out.Run(context.Background(), idleFeed{})
	}()
	return over
}

// idleFeed never has a chunk.
type idleFeed struct{}

func (idleFeed) Next(ctx context.Context, _ int) (*transport.Chunk, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (idleFeed) Done(*transport.Chunk, []transport.Verdict) {}

// A header that lies about its chunk, in a slot that is the source's: the session
// ends, and nothing was placed.
func TestE2LyingHeader(t *testing.T) {
	for name, lie := range map[string]func(cell []byte){
		"magic":      func(c []byte) { c[0] ^= 1 },
		"epoch":      func(c []byte) { resealed(c, func() { c[8]++ }) },
		"generation": func(c []byte) { resealed(c, func() { c[16]++ }) },
		"length":     func(c []byte) { resealed(c, func() { c[22] = 0xff }) },
		"data":       func(c []byte) { resealed(c, func() { c[32]++ }) },
		"frame":      func(c []byte) { c[cellFixed+20] ^= 1 },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, setup{}, func(t *testing.T, r *rig) {
				s, data := newStore(chunkSize), content(chunkSize)
				e := r.connect(t, s)
				r.a.Inject(rdmatest.SendFault{Index: 1, Before: func() { // the header of the first chunk
					for _, sl := range e.out.slots {
						if sl.total > 0 {
							lie(sl.cell)
						}
					}
				}})
				if err := <-e.start(t.Context(), data, s); err == nil {
					t.Error("it was taken")
				}
				if n := s.count(); n != 0 {
					t.Errorf("%d chunks landed", n)
				}
				e.finish(t, data, s)
			})
		})
	}
}

func resealed(cell []byte, change func()) {
	change()
	checksum(cell)
}

// A storm of sources: no more set-ups at a time than the limit, and all get their
// turn.
func TestE4StormOfHandshakes(t *testing.T) {
	const setups, sources = 3, 40
	inBubble(t, setup{limits: Limits{Setups: setups, Handshake: time.Minute}}, func(t *testing.T, r *rig) {
		r.b.Slow(rdmatest.VerbToReadyToReceive, 0, 20*time.Millisecond, nil)
		var most atomic.Int32
		count := func() {
			c := r.b.Counters()
			n := int32(c.QueuePairs)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
		}
		var all sync.WaitGroup
		for range sources {
			all.Go(func() {
				e := newEdge()
				e.toSource = func(_ int, msg []byte) ([]byte, error) { count(); return msg, nil }
				r.prepare(t, e, newStore(0))
				if err := r.dial(t.Context(), e); err != nil {
					t.Error(err)
				}
				count()
				if err := e.close(t); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		// Those that are set up, and those that are over and not yet taken apart.
		if n := most.Load(); n < setups || n > sources/2 {
			t.Errorf("%d queue pairs at a time", n)
		}
	})
	t.Run("places", func(t *testing.T) {
		inBubble(t, setup{limits: Limits{Setups: 1, Handshake: time.Minute}}, func(t *testing.T, r *rig) {
			gate := r.b.Hang(rdmatest.VerbToInit, 1)
			first, second := newEdge(), newEdge()
			r.prepare(t, first, newStore(0))
			r.prepare(t, second, newStore(0))
			errs := make(chan error, 2)
			go func() { errs <- r.dial(t.Context(), first) }()
			<-gate.Entered()
			go func() { errs <- r.dial(t.Context(), second) }()
			synctest.Wait()
			if c := r.a.Counters(); c.QueuePairs != 1 {
				t.Errorf("%d queue pairs of sources that wait for their turn, want none beyond the first", c.QueuePairs)
			}
			gate.Release(nil)
			for range 2 {
				if err := <-errs; err != nil {
					t.Error(err)
				}
			}
			_ = first.close(t)
			_ = second.close(t)
		})
	})
}

func TestE4Caps(t *testing.T) {
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		for _, o := range []transport.PrepareOptions{
			{Streams: 0, ChunkSize: chunkSize}, {Streams: 33, ChunkSize: chunkSize}, {Streams: 1, ChunkSize: 0}, {Streams: 1, ChunkSize: 65 << 20},
		} {
			if _, err := r.dst.Prepare(t.Context(), newEdge().id, newStore(0), o); err == nil {
				t.Errorf("%+v is taken", o)
			}
		}
		for name, change := range map[string]func(*connect){
			"pairs": func(c *connect) {
				for range maxPairs {
					c.Pairs = append(c.Pairs, c.Pairs[0])
				}
			},
			"slots": func(c *connect) { c.Slots = maxSlots + 1 },
		} {
			e := newEdge()
			e.toTarget = func(_ int, msg []byte) ([]byte, error) {
				if kind(msg[0]) == kindConnect {
					msg = rewrite(msg, change)
				}
				return msg, nil
			}
			r.prepare(t, e, newStore(0))
			if err := r.dial(t.Context(), e); err == nil {
				t.Errorf("%s: taken", name)
			}
			_ = e.close(t)
		}
		if _, err := parseOffer(bytes.Repeat([]byte{' '}, maxOffer+1)); !errors.Is(err, errMessage) {
			t.Error(err)
		}
	})
}
