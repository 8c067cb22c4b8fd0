package verbs

import (
	"context"
	"fmt"

	"github.com/xferd/xferd/internal/wire"
	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/transport"
)

// burst is how many requests of a chunk are posted at a time, at the most.
const burst = 256

// scattered is the depth of the send queues of a session whose chunks are in many
// pieces.
const scattered = 1024

// local is where the bytes of a segment are at the source: in a slab, or in memory
// that is registered.
type local struct {
	bytes  []byte
	slab   *slab // nil: in memory
	memory *mapped
	offset int64 // in slab or memory
}

// next returns the element for what lies together from off on, at most n bytes, on
// rail k.
func (p *local) next(k int, off, n int64) rdma.SGE {
	if p.slab != nil {
		return p.slab.regions[k].Element(int(p.offset+off), int(n))
	}
	at := p.offset + off
	m := p.memory.find(at)
	at -= m.span.Offset
	return m.regions[k].Element(int(at), int(min(n, m.span.Length-at)))
}

// way is where the bytes of a chunk go on one rail: to its slot, one after the
// other, or to the places of its extents.
type way struct {
	k      int
	slot   *window // nil in place
	memory *remoteMemory
	places []transport.Range
	at     int64 // in the slot, or in the first of places
}

// next returns where the next bytes go, at most n that lie together there.
func (w *way) next(n int64) (addr uint64, key uint32, _ int64) {
	if w.slot != nil {
		return w.slot.Addr + uint64(w.at), w.slot.Keys[w.k], n
	}
	r := &w.places[0]
	off := r.Offset + w.at
	p := w.memory.find(off)
	return p.Addr + uint64(off-p.Offset), p.Keys[w.k], min(n, r.Length-w.at, p.Offset+int64(p.Size)-off)
}

// pass goes past n bytes.
func (w *way) pass(n int64) {
	w.at += n
	if w.slot != nil {
		return
	}
	for len(w.places) > 0 && w.at >= w.places[0].Length {
		w.at -= w.places[0].Length
		w.places = w.places[1:]
	}
}

// posting is a chunk that is on its way to a queue pair, in as many bursts as it
// takes.
type posting struct {
	o     *outgoing
	sl    *outSlot
	k     int
	d     *domain
	p     *pair
	bytes int64 // in sl.reqs
}

// post writes a chunk to where it belongs, then its cell, by the queue pair with the
// least on its way.
func (o *outgoing) post(ctx context.Context, sl *outSlot, cell int, generation uint16) error {
	w := posting{o: o, sl: sl}
	w.k, w.d, w.p = o.least()
	sl.reqs = sl.reqs[:0]
	o.mu.Lock()
	sl.domain, sl.pair, sl.posted = w.d, w.p, true
	o.mu.Unlock()
	o.stall.owe()
	w.p.load.Add(sl.total)
	w.d.eager.Store(o.inPlace && sl.total <= smallChunk)
	if err := w.extents(ctx); err != nil {
		return err
	}
	header := o.cells.regions[w.k].Element(int(sl.index)*cellSize, cell)
	last := rdma.SendRequest{Op: rdma.OpWriteWithImm, Imm: immediate(sl.index, generation), Flags: rdma.Signaled | rdma.Solicited}
	last.ID = uint64(generation)<<16 | uint64(sl.index)
	if o.inPlace && cell <= w.d.path.mtu.Bytes() {
		// One packet, which is there whole or not at all.
		last.RemoteAddr, last.RemoteKey, last.NumSGE, last.SGE[0] = sl.remoteCell, o.cellKeys[w.k], 1, header
	} else {
		// Without bytes of its own the immediate stays behind the payload even where
		// the network reorders packets.
		sl.reqs = append(sl.reqs, rdma.SendRequest{ID: unsignaledID, Op: rdma.OpWrite, RemoteAddr: sl.remoteCell, RemoteKey: o.cellKeys[w.k], NumSGE: 1, SGE: [rdma.MaxSGE]rdma.SGE{header}})
	}
	sl.reqs = append(sl.reqs, last)
	return w.flush(ctx, true)
}

// extents adds the requests for the bytes of a chunk.
func (w *posting) extents(ctx context.Context) error {
	sl, o := w.sl, w.o
	to := way{k: w.k, slot: &sl.remote, memory: &o.memory}
	if o.inPlace {
		to.slot = nil
	}
	from := sl.locals
	for i := range sl.chunk.Extents {
		e := &sl.chunk.Extents[i]
		skip := o.inPlace && sl.seals[i].State != wire.Sound
		if o.inPlace {
			to.places, to.at = e.Places, 0
		}
		at := e.Offset
		for j, seg := range e.Segments {
			if o.inPlace {
				to.pass(seg.Offset - at)
			}
			at = seg.End()
			if skip {
				continue
			}
			if err := w.segment(ctx, &from[j], &to, seg.Length); err != nil {
				return err
			}
		}
		from = from[len(e.Segments):]
	}
	return nil
}

// segment adds the requests for a segment: one for each piece that lies together
// at both ends, of at most writeSize.
func (w *posting) segment(ctx context.Context, from *local, to *way, n int64) error {
	for off := int64(0); off < n; {
		e := from.next(w.k, off, min(n-off, writeSize))
		addr, key, m := to.next(int64(e.Length))
		e.Length = uint32(m)
		if !w.grow(e, addr, key) {
			if len(w.sl.reqs) == w.p.burst {
				if err := w.flush(ctx, false); err != nil {
					return err
				}
			}
			w.sl.reqs = append(w.sl.reqs, rdma.SendRequest{ID: unsignaledID, Op: rdma.OpWrite, RemoteAddr: addr, RemoteKey: key, NumSGE: 1, SGE: [rdma.MaxSGE]rdma.SGE{e}})
		}
		w.bytes += m
		to.pass(m)
		off += m
	}
	return nil
}

// grow has the last request take bytes too that follow on those it has, at both
// ends.
func (w *posting) grow(e rdma.SGE, addr uint64, key uint32) bool {
	if len(w.sl.reqs) == 0 {
		return false
	}
	r := &w.sl.reqs[len(w.sl.reqs)-1]
	s := &r.SGE[0]
	n := uint64(s.Length)
	if r.RemoteKey != key || s.Key != e.Key || r.RemoteAddr+n != addr || s.Addr+n != e.Addr || n+uint64(e.Length) > writeSize {
		return false
	}
	s.Length += e.Length
	return true
}

// flush posts the requests that there are. It waits for room in the queue, which
// there is at once unless the chunk is in very many pieces.
func (w *posting) flush(ctx context.Context, last bool) error {
	sl, p, d, o := w.sl, w.p, w.d, w.o
	n := len(sl.reqs)
	if err := p.room.Acquire(o.life, int64(n)); err != nil {
		return context.Cause(o.life)
	}
	if last {
		sl.tail = n
	} else {
		r := &sl.reqs[n-1]
		r.Flags, r.ID = rdma.Signaled, burstID|uint64(p.index)<<32|uint64(n)
	}
	d.outstanding.Add(1)
	bytes := w.bytes // once all is posted the slot may be another chunk's at any time
	p.post.Lock()
	defer p.post.Unlock()
	// The session may have been ended while the slab was filled: nothing is
	// posted for an epoch that is over.
	if o.life.Err() != nil {
		d.outstanding.Add(-1)
		return context.Cause(o.life)
	}
	d.account.posts.Add(1)
	posted, err := p.qp.PostSend(sl.reqs)
	if err != nil {
		d.outstanding.Add(-1) // the signaled one is the last
		return d.blame(fmt.Errorf("request %d of %d: %w", posted+1, n, err))
	}
	o.stats.Bytes.Add(bytes)
	if !last {
		w.bytes, sl.reqs = 0, sl.reqs[:0]
		o.stall.hear()
	}
	return nil
}

// burstID marks the requests that end a burst which does not end its chunk: with
// the index of the queue pair, and how many requests it is.
const burstID = 1 << 61

// least returns the queue pair with the fewest bytes on its way.
func (o *outgoing) least() (k int, d *domain, p *pair) {
	for i, di := range o.s.domains {
		for _, pi := range di.pairs {
			if p == nil || pi.load.Load() < p.load.Load() {
				k, d, p = i, di, pi
			}
		}
	}
	return k, d, p
}
