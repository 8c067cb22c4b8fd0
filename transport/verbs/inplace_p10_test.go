package verbs

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/rdma/rdmatest"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/transporttest"
)

// staleInPlace is staleWrite for memory of a program.
func staleInPlace(t *testing.T, r *rig, before, after func(r *rig)) (corrupt bool) {
	t.Helper()
	p := newPlaced(t, 2*size, transport.Range{Offset: 333, Length: size})
	e := p.edge()
	r.connectTo(t, e, p)
	before(r)
	e.asleep.Store(true)
	e.feed = transporttest.NewFeed(p.chunks(1)...)
	done := e.startFeed(t.Context())
	synctest.Wait() // everything that fits is posted
	if err := e.in.Close(); err != nil {
		t.Errorf("the fence: %v", err)
	}
	p.dst.Fill(0xca)
	after(r)
	time.Sleep(time.Second) // twice what the retries take, and more
	synctest.Wait()
	corrupt = slices.ContainsFunc(p.dst.Mem, func(b byte) bool { return b != 0xca })
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

// Late writes to the memory of a program do not land once the fence is done, and
// the canary sees them where it does nothing.
func TestInPlaceP10StaleWrite(t *testing.T) {
	for name, l := range late {
		t.Run(name, func(t *testing.T) {
			inBubble(t, setup{hidden: true}, func(t *testing.T, r *rig) {
				if staleInPlace(t, r, l.before, l.after) {
					t.Error("memory was written to after its fence")
				}
			})
		})
		t.Run(name+", no fence", func(t *testing.T) {
			inBubble(t, setup{hidden: true}, func(t *testing.T, r *rig) {
				if !staleInPlace(t, r, func(r *rig) { r.dst.audit.lie(); l.before(r) }, l.after) {
					t.Error("the fence did nothing, and the canary lived")
				}
			})
		})
	}
}

// What the device does not give back is said, by the error of the one whose memory
// it is, and stays counted.
func TestInPlaceP10Unfenced(t *testing.T) {
	for _, end := range []string{"target", "source"} {
		for v, name := range map[rdmatest.Verb]string{rdmatest.VerbDestroyQP: "destroy qp", rdmatest.VerbDeregister: "dereg"} {
			t.Run(end+"/"+name, func(t *testing.T) {
				inBubble(t, setup{kept: true}, func(t *testing.T, r *rig) {
					p := newPlaced(t, size, transport.Range{Length: size})
					e := p.edge()
					r.connectTo(t, e, p)
					n, d := r.dst, r.b
					if end == "source" {
						n, d = r.src, r.a
					}
					d.Fail(v, 0, errors.New("a fault of the test"))
					e.feed = transporttest.NewFeed(p.chunks(1)...)
					err := <-e.startFeed(t.Context())
					if fence := e.in.Close(); end == "target" {
						if err != nil {
							t.Errorf("Run: %v", err)
						}
						err = fence
					} else if fence != nil {
						t.Errorf("the target's fence: %v", fence)
					}
					if !errors.Is(err, transport.ErrUnfenced) {
						t.Errorf("%v", err)
					}
					if p := n.Pinned(); p.Bytes != size || n.Quarantined() != 1 {
						t.Errorf("%+v pinned, %d sessions in quarantine", p, n.Quarantined())
					}
					p.layout.Check(t, p.dst.Mem, p.src.Mem)
				})
			})
		}
	}
}

// A device that fails in the middle of a chunk of very many pieces.
func TestInPlaceBrokenBurst(t *testing.T) {
	const pieces = 3 * scattered
	var layout []transport.Range
	for i := range int64(pieces) {
		layout = append(layout, transport.Range{Offset: 32 * i, Length: chunkSize / pieces})
	}
	for _, index := range []int{3, 3 + burst - 1, 3 + burst, 3 + scattered + 7, 3 + pieces} {
		inBubble(t, setup{}, func(t *testing.T, r *rig) {
			p := newPlaced(t, 32*pieces, layout...)
			e := p.edge()
			r.connectTo(t, e, p)
			r.a.Inject(rdmatest.SendFault{Index: index - 3, Override: true, Status: rdma.RetryExceeded})
			e.feed = transporttest.NewFeed(p.chunks(1)...)
			if err := <-e.startFeed(t.Context()); statusOf(err) != rdma.RetryExceeded && !errors.As(err, new(*peerError)) {
				t.Errorf("request %d: %v", index, err)
			}
			if err := e.close(t); err != nil {
				t.Error(err)
			}
			e.feed.Settled(t)
			if p.landed.Load() != 0 {
				t.Errorf("request %d: the chunk landed", index)
			}
		})
	}
}
