package verbs

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/rdma/rdmatest"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/transporttest"
)

// placed is memory of both ends, and the sink of the target's.
type placed struct {
	src, dst *transporttest.Region
	layout   transporttest.Layout
	landed   atomic.Int64
	gate     chan struct{} // Place waits for it, if set
}

// newPlaced is made outside of a bubble or in it, before the edge.
func newPlaced(t *testing.T, size int, l ...transport.Range) *placed {
	t.Helper()
	p := &placed{layout: l}
	p.src, p.dst = transporttest.NewRegion(t, int(p.layout.Size())), transporttest.NewRegion(t, size)
	copy(p.src.Mem, content(len(p.src.Mem)))
	return p
}

func (p *placed) Place(ctx context.Context, _ uint64, extents []transport.ExtentHeader) ([]transport.Landing, error) {
	if p.gate != nil {
		select {
		case <-p.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	l := make([]transport.Landing, len(extents))
	for i := range extents {
		l[i].Mem = p.layout.Pieces(p.dst.Mem, extents[i].Offset, extents[i].Length)
	}
	return l, nil
}

func (p *placed) Landed(_ context.Context, _ uint64, arrivals []transport.Arrival) []transport.Verdict {
	v := make([]transport.Verdict, len(arrivals))
	for i := range arrivals {
		v[i] = transport.Verdict{Code: arrivals[i].Code, Digest: arrivals[i].Digest, Err: arrivals[i].Err}
	}
	p.landed.Add(1)
	return v
}

// chunks of all of it, times times.
func (p *placed) chunks(times int) (all []*transport.Chunk) {
	for range times {
		for off := int64(0); off < int64(len(p.src.Mem)); off += chunkSize {
			n := min(chunkSize, int64(len(p.src.Mem))-off)
			all = append(all, &transport.Chunk{Seq: uint64(len(all)), Extents: []transport.Extent{{
				ExtentHeader: transport.ExtentHeader{Entry: 1, Offset: off, Length: n, Segments: []transport.Range{{Offset: off, Length: n}}},
				Bodies:       []transport.Body{{Mem: p.src.Mem[off : off+n]}},
				Places:       p.layout.Places(off, n),
			}}})
		}
	}
	return all
}

// edge is one that has the memory of both ends.
func (p *placed) edge() *edge {
	e := newEdge()
	e.memory = &transport.Memory{Base: p.dst.Mem, Needed: p.layout}
	e.sources = []*transport.Memory{{Base: p.src.Mem}}
	e.principal = "uid:1000"
	return e
}

func (r *rig) connectTo(t *testing.T, e *edge, s transport.Sink) {
	t.Helper()
	r.prepare(t, e, s)
	if err := r.dial(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

// TestInPlace: the bytes pass through no buffer at either end, and a session that
// stays registers nothing again.
func TestInPlace(t *testing.T) {
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		p := newPlaced(t, 4*size, transport.Range{Offset: 100, Length: size}, transport.Range{Offset: 3 * size, Length: 777})
		e := p.edge()
		r.connectTo(t, e, p)
		if n := r.dst.recv.InUse(); n > 8*cellSize {
			t.Errorf("%d bytes of buffers for cells alone", n)
		}
		registered := r.a.Counters().MemoryRegions + r.b.Counters().MemoryRegions
		e.feed = transporttest.NewFeed(p.chunks(5)...)
		e.feed.Open = true
		done := e.startFeed(t.Context())
		synctest.Wait()
		if n := r.a.Counters().MemoryRegions + r.b.Counters().MemoryRegions; n != registered {
			t.Errorf("%d registrations while chunks move, %d before", n, registered)
		}
		if n := e.in.Stats().CopiedBytes + e.out.Stats().CopiedBytes; n != 0 {
			t.Errorf("%d bytes were copied", n)
		}
		if want := int64(5 * len(p.src.Mem)); e.in.Stats().Bytes != want {
			t.Errorf("%d bytes landed, want %d", e.in.Stats().Bytes, want)
		}
		p.layout.Check(t, p.dst.Mem, p.src.Mem)
		_ = e.close(t)
		<-done
		e.feed.Settled(t)
	})
}

// TestInPlaceOverTwoRails: memory has a key of its own on each.
func TestInPlaceOverTwoRails(t *testing.T) {
	inBubble(t, setup{rails: 2}, func(t *testing.T, r *rig) {
		p := newPlaced(t, 3*size, transport.Range{Offset: 5, Length: size / 2}, transport.Range{Offset: 2 * size, Length: size / 2})
		e := p.edge()
		r.connectTo(t, e, p)
		if n := r.dst.Pinned().Bytes; n != 2*p.layout.Size() {
			t.Errorf("%d bytes are pinned, want %d twice", n, p.layout.Size())
		}
		e.feed = transporttest.NewFeed(p.chunks(3)...)
		if err := <-e.startFeed(t.Context()); err != nil {
			t.Error(err)
		}
		if err := e.close(t); err != nil {
			t.Error(err)
		}
		p.layout.Check(t, p.dst.Mem, p.src.Mem)
		for _, a := range r.dst.Accounts() {
			if a.Received.Chunks == 0 {
				t.Errorf("nothing came by %s", a.Device)
			}
		}
	})
}

// TestInPlaceMemlock: memory of a program that cannot be pinned, at either end, is
// the reason, and no fault of the rail.
func TestInPlaceMemlock(t *testing.T) {
	for _, end := range []string{"source", "target"} {
		t.Run(end, func(t *testing.T) {
			inBubble(t, setup{}, func(t *testing.T, r *rig) {
				p := newPlaced(t, size, transport.Range{Length: size})
				d, nth := r.a, 2 // the cells come first
				if end == "target" {
					d = r.b
				}
				d.Fail(rdmatest.VerbRegister, nth, syscall.ENOMEM)
				e := p.edge()
				r.prepare(t, e, p)
				if err := r.dial(t.Context(), e); reason(t, err) != transport.Memlock {
					t.Error(err)
				}
				_ = e.close(t)
				for _, n := range []*node{r.src, r.dst} {
					if got := n.Pinned().Bytes; got != 0 {
						t.Errorf("%d bytes are counted", got)
					}
				}
				if left := r.src.rests.missing(e.id.Peer, nil); left {
					t.Error("the rail rests")
				}
				e = p.edge()
				r.connectTo(t, e, p)
				_ = e.close(t)
			})
		})
	}
}

// TestInPlaceWithPeersOfBefore: a source that does not know of memory, and a target
// that does not, meet one that does: the target copies.
func TestInPlaceWithPeersOfBefore(t *testing.T) {
	for _, old := range []string{"source", "target"} {
		t.Run(old, func(t *testing.T) {
			inBubble(t, setup{}, func(t *testing.T, r *rig) {
				p := newPlaced(t, 2*size, transport.Range{Offset: 9, Length: size})
				e := p.edge()
				if old == "target" {
					e.memory = nil // and so its offer has none
				}
				r.prepare(t, e, p)
				g := e.in.Grant()
				if old == "source" {
					o, err := parseOffer(g.Params)
					if err != nil || o.Memory == 0 {
						t.Fatalf("%+v, %v", o, err)
					}
					g.Params = []byte(strings.Replace(string(g.Params), fmt.Sprintf(`"Memory":%d`, o.Memory), `"Other":1`, 1))
				}
				out, err := r.src.Dial(t.Context(), e.id, g, transport.DialOptions{Streams: 4, ChunkSize: e.size, Verify: true, Control: e.control, Memory: e.sources})
				if err != nil {
					t.Fatal(err)
				}
				e.out = out.(*outgoing)
				e.feed = transporttest.NewFeed(p.chunks(1)...)
				if err := <-e.startFeed(t.Context()); err != nil {
					t.Error(err)
				}
				if err := e.close(t); err != nil {
					t.Error(err)
				}
				p.layout.Check(t, p.dst.Mem, p.src.Mem)
				if e.in.Stats().CopiedBytes != size || e.out.Stats().CopiedBytes != 0 {
					t.Errorf("target %+v, source %+v", e.in.Stats(), e.out.Stats())
				}
			})
		})
	}
}

// TestInPlaceUninvited: a source that wants to write in place where there is no
// memory gets no session.
func TestInPlaceUninvited(t *testing.T) {
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		e := newEdge()
		e.toTarget = func(_ int, msg []byte) ([]byte, error) {
			if kind(msg[0]) == kindConnect {
				msg = rewrite(msg, func(c *connect) { c.InPlace = true })
			}
			return msg, nil
		}
		r.prepare(t, e, newStore(0))
		if err := r.dial(t.Context(), e); err == nil {
			t.Error("a session came up")
		}
		_ = e.close(t)
	})
}

// TestInPlaceBeyondTheGrant: the device stops a source that writes beside what the
// edge needs, and chunks whose places are not granted are not posted.
func TestInPlaceBeyondTheGrant(t *testing.T) {
	needed := transport.Range{Offset: 2*gap + 4096, Length: chunkSize}
	for name, off := range map[string]int64{"before": -1, "behind": chunkSize - 4095} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, setup{}, func(t *testing.T, r *rig) {
				p := newPlaced(t, 4*gap, needed)
				e := p.edge()
				r.connectTo(t, e, p)
				over := running(e)
				m := e.out.memory.parts[0]
				w := rdma.SendRequest{Op: rdma.OpWrite, RemoteAddr: m.Addr + uint64(off), RemoteKey: m.Keys[0], NumSGE: 1, Flags: rdma.Signaled, ID: unsignaledID}
				w.SGE[0] = e.out.sources[0].parts[0].regions[0].Element(0, 4096)
				if _, err := e.out.s.domains[0].pairs[0].qp.PostSend([]rdma.SendRequest{w}); err != nil {
					t.Fatal(err)
				}
				<-over // it lost its session
				if err := e.close(t); err != nil {
					t.Error(err)
				}
				transporttest.Layout{}.Check(t, p.dst.Mem, nil)
			})
		})
	}
	t.Run("places", func(t *testing.T) {
		inBubble(t, setup{}, func(t *testing.T, r *rig) {
			p := newPlaced(t, 4*gap, needed)
			e := p.edge()
			r.connectTo(t, e, p)
			chunks := p.chunks(1)
			for i, places := range [][]transport.Range{
				nil, {{Offset: needed.Offset + 1, Length: chunkSize}}, {{Offset: needed.Offset - 1, Length: chunkSize}},
				{{Offset: needed.Offset, Length: chunkSize - 1}}, {{Offset: needed.Offset, Length: chunkSize}, {Offset: needed.Offset, Length: 1}},
				{{Offset: -1, Length: chunkSize}}, {{Offset: 1<<63 - 10, Length: chunkSize}}, {{Offset: needed.Offset, Length: chunkSize}, {}},
			} {
				x := chunks[0].Extents[0]
				x.Places = places
				chunks = append(chunks, &transport.Chunk{Seq: uint64(i + 1), Extents: []transport.Extent{x}})
			}
			e.feed = transporttest.NewFeed(chunks...)
			if err := <-e.startFeed(t.Context()); err != nil {
				t.Error(err)
			}
			for i := range chunks {
				want := transport.SourceFailed
				if i == 0 {
					want = transport.Placed
				}
				if v := e.feed.Verdict(t, uint64(i), 0); v.Code != want {
					t.Errorf("places %v: %v, %v", chunks[i].Extents[0].Places, v.Code, v.Err)
				}
			}
			if err := e.close(t); err != nil {
				t.Error(err)
			}
			p.layout.Check(t, p.dst.Mem, p.src.Mem)
		})
	})
}

// TestInPlaceSinkElsewhere: a sink that has an extent belong outside of the memory
// of its edge refuses it thereby.
func TestInPlaceSinkElsewhere(t *testing.T) {
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		p, other := newPlaced(t, chunkSize, transport.Range{Length: chunkSize}), newPlaced(t, chunkSize, transport.Range{Length: chunkSize})
		e := p.edge()
		r.connectTo(t, e, other)
		e.feed = transporttest.NewFeed(p.chunks(1)...)
		if err := <-e.startFeed(t.Context()); err != nil {
			t.Error(err)
		}
		if v := e.feed.Verdict(t, 0, 0); v.Code != transport.Refused || !strings.Contains(v.Err.Error(), errElsewhere.Error()) {
			t.Errorf("%v, %v", v.Code, v.Err)
		}
		_ = e.close(t)
	})
}
