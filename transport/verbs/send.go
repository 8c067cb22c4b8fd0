package verbs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/xferd/xferd/internal/fault"
	"github.com/xferd/xferd/internal/wire"
	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/internal/chunkio"
)

// errLongHeader: a chunk in so many pieces does not fit its header cell. Another
// transport takes it.
var errLongHeader = errors.New("the chunk is in more pieces than a header cell has room for")

// send fills a slab with its chunk and posts it.
func (o *outgoing) send(ctx context.Context, sl *outSlot) error {
	c := sl.chunk
	n := len(c.Extents)
	sl.seals = slices.Grow(sl.seals[:0], n)[:n]
	sl.errs = slices.Grow(sl.errs[:0], n)[:n]
	clear(sl.seals)
	clear(sl.errs)
	head, total, err := sl.framer.Append(sl.cell[cellFixed:cellFixed], c, o.opt.Verify, o.opt.ChunkSize)
	if err != nil {
		o.refuse(sl, err)
		return nil
	}
	if err := o.pacer.Wait(ctx, total); err != nil {
		return err
	}
	at := int64(0)
	for i := range c.Extents {
		at = o.fill(sl, i, at)
	}
	whole := wire.AppendTrailer(head, c.Seq, sl.seals)
	if cellFixed+len(whole) > len(sl.cell) {
		return errLongHeader
	}
	o.mu.Lock()
	generation := sl.generation
	sl.total = total
	o.mu.Unlock()
	sealCell(sl.cell, o.edge.Epoch, generation, len(head), len(whole)-len(head), total)
	return o.post(sl, cellFixed+len(whole), generation)
}

// refuse gives a chunk back that cannot be sent as it is.
func (o *outgoing) refuse(sl *outSlot, err error) {
	o.mu.Lock()
	c, f := sl.chunk, sl.feed
	sl.chunk, sl.feed = nil, nil
	o.leave()
	o.mu.Unlock()
	verdicts := make([]transport.Verdict, len(c.Extents))
	for i := range verdicts {
		verdicts[i] = transport.Verdict{Code: transport.SourceFailed, Err: fmt.Errorf("%w: %w", transport.ErrSourceFailed, err)}
	}
	f.Done(c, verdicts)
	o.free <- sl
}

// fill puts the segments of an extent into the slab, from at on, and seals it.
// It returns where the next one goes.
func (o *outgoing) fill(sl *outSlot, i int, at int64) int64 {
	e, seal := &sl.chunk.Extents[i], &sl.seals[i]
	from := at
	for j, seg := range e.Segments {
		part := sl.data[at : at+seg.Length]
		at += seg.Length
		b := &e.Bodies[j]
		var bad error
		if seal.State != wire.Sound {
			continue
		}
		if b.Mem != nil {
			bad = fault.Guard(func() error { copy(part, b.Mem); return nil })
		} else {
			start := time.Now()
			_, bad = o.t.files.ReadAt(b.File, part, b.FileOffset)
			o.stats.Reading.Since(start)
		}
		switch {
		case bad == nil:
			continue
		case bad == io.EOF:
			seal.State, sl.errs[i] = wire.SourceShort, transport.ErrSourceShort
		default:
			seal.State, sl.errs[i] = wire.SourceBad, fmt.Errorf("%w: %w", transport.ErrSourceFailed, bad)
		}
	}
	switch {
	case seal.State != wire.Sound:
		clear(sl.data[from:at]) // what was in the slab before is nobody's business
	case !o.opt.Verify:
	case !e.Digest.IsZero():
		seal.Digest = e.Digest
	default:
		start := time.Now()
		seal.Digest = chunkio.Digest(&sl.hasher, &e.ExtentHeader, sl.data[from:at])
		o.stats.Hashing.Since(start)
	}
	return at
}

// post writes a slab and its cell into the slot, by the queue pair with the
// least on its way.
func (o *outgoing) post(sl *outSlot, cell int, generation uint16) error {
	k, d, p := o.least()
	sl.reqs = sl.reqs[:0]
	request := func(op rdma.Opcode, addr uint64, key uint32, e ...rdma.SGE) {
		r := rdma.SendRequest{Op: op, RemoteAddr: addr, RemoteKey: key, NumSGE: uint32(len(e)), ID: unsignaledID}
		copy(r.SGE[:], e)
		sl.reqs = append(sl.reqs, r)
	}
	for off := int64(0); off < sl.total; off += writeSize {
		n := min(writeSize, sl.total-off)
		request(rdma.OpWrite, sl.remote.Addr+uint64(off), sl.remote.Keys[k], sl.slab.regions[k].Element(int(off), int(n)))
	}
	request(rdma.OpWrite, sl.remoteCell, o.cellKeys[k], o.cells.regions[k].Element(int(sl.index)*cellSize, cell))
	// Without bytes of its own the immediate stays behind the payload even where
	// the network reorders packets.
	request(rdma.OpWriteWithImm, 0, 0)
	last := &sl.reqs[len(sl.reqs)-1]
	last.Imm = immediate(sl.index, generation)
	last.Flags = rdma.Signaled | rdma.Solicited
	last.ID = uint64(generation)<<16 | uint64(sl.index)

	o.mu.Lock()
	sl.pair, sl.posted = p, true
	o.mu.Unlock()
	o.stall.owe()
	p.load.Add(sl.total)
	bytes := sl.total // once it is posted the slot may be another chunk's at any time
	d.outstanding.Add(1)
	p.post.Lock()
	defer p.post.Unlock()
	// The session may have been ended while the slab was filled: nothing is
	// posted for an epoch that is over.
	if o.life.Err() != nil {
		d.outstanding.Add(-1)
		return context.Cause(o.life)
	}
	d.account.posts.Add(1)
	n, err := p.qp.PostSend(sl.reqs)
	if err != nil {
		d.outstanding.Add(-1) // the signaled one is the last
		return d.blame(fmt.Errorf("request %d of %d: %w", n+1, len(sl.reqs), err))
	}
	o.stats.Bytes.Add(bytes)
	return nil
}

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
