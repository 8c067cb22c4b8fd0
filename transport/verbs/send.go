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
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/internal/chunkio"
)

// errLongHeader: a chunk in so many pieces does not fit its header cell. Another
// transport takes it.
var errLongHeader = errors.New("the chunk is in more pieces than a header cell has room for")

// send finds the bytes of a chunk, in a slab if they are nowhere else, and posts it.
func (o *outgoing) send(ctx context.Context, sl *outSlot) error {
	c := sl.chunk
	n := len(c.Extents)
	sl.seals = slices.Grow(sl.seals[:0], n)[:n]
	sl.errs = slices.Grow(sl.errs[:0], n)[:n]
	clear(sl.seals)
	clear(sl.errs)
	head, total, err := sl.framer.Append(sl.cell[cellFixed:cellFixed], c, o.opt.Verify, o.opt.ChunkSize)
	if err == nil {
		err = o.check(c)
	}
	if err != nil {
		o.refuse(sl, err)
		return nil
	}
	if err := o.pacer.Wait(ctx, total); err != nil {
		return err
	}
	at := int64(0)
	sl.locals = sl.locals[:0]
	for i := range c.Extents {
		if at, err = o.fill(ctx, sl, i, at); err != nil {
			return err
		}
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
	return o.post(ctx, sl, cellFixed+len(whole), generation)
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

// fill finds the bytes of an extent and seals it. Those that are not in registered
// memory go into the slab, from at on, for which it may have to wait. It returns
// where the next ones go.
func (o *outgoing) fill(ctx context.Context, sl *outSlot, i int, at int64) (int64, error) {
	e, seal := &sl.chunk.Extents[i], &sl.seals[i]
	from, first := at, len(sl.locals)
	for j, seg := range e.Segments {
		b := &e.Bodies[j]
		if l, ok := o.mapped(b); ok {
			sl.locals = append(sl.locals, l)
			continue
		}
		if err := o.stage(ctx, sl); err != nil {
			return at, err
		}
		part := sl.data[at : at+seg.Length]
		sl.locals = append(sl.locals, local{bytes: part, slab: sl.slab, offset: at})
		at += seg.Length
		if seal.State != wire.Sound {
			continue
		}
		bad := o.read(b, part)
		switch {
		case bad == nil:
			continue
		case bad == io.EOF:
			seal.State, sl.errs[i] = wire.SourceShort, transport.ErrSourceShort
		default:
			seal.State, sl.errs[i] = wire.SourceBad, fmt.Errorf("%w: %w", transport.ErrSourceFailed, bad)
		}
	}
	o.stats.Copied.Add(at - from)
	if o.opt.Verify && seal.State == wire.Sound {
		seal.Digest = e.Digest
		if e.Digest.IsZero() {
			if err := o.digest(sl, e, sl.locals[first:], seal); err != nil {
				seal.State, sl.errs[i] = wire.SourceBad, fmt.Errorf("%w: %w", transport.ErrSourceFailed, err)
			}
		}
	}
	if seal.State != wire.Sound {
		clear(sl.data[from:at]) // what was in the slab before is nobody's business
	}
	return at, nil
}

// mapped finds a body in memory that is registered.
func (o *outgoing) mapped(b *transport.Body) (local, bool) {
	for _, m := range o.sources {
		if off, ok := m.memory.Within(b.Mem); ok && m.holds(off, int64(len(b.Mem))) {
			return local{bytes: b.Mem, memory: m, offset: off}, true
		}
	}
	return local{}, false
}

// read fills part from a body.
func (o *outgoing) read(b *transport.Body, part []byte) error {
	if b.Mem != nil {
		return fault.Guard(func() error { copy(part, b.Mem); return nil })
	}
	start := time.Now()
	_, err := o.t.files.ReadAt(b.File, part, b.FileOffset)
	o.stats.Reading.Since(start)
	return err
}

// digest hashes an extent where its bytes are.
func (o *outgoing) digest(sl *outSlot, e *transport.Extent, from []local, seal *wire.Seal) error {
	start := time.Now()
	defer o.stats.Hashing.Since(start)
	sl.hasher.Reset()
	err := fault.Guard(func() error {
		at := e.Offset
		for j, seg := range e.Segments {
			chunkio.WriteZeros(&sl.hasher, seg.Offset-at)
			_, _ = sl.hasher.Write(from[j].bytes)
			at = seg.End()
		}
		chunkio.WriteZeros(&sl.hasher, e.End()-at)
		return nil
	})
	if err == nil {
		seal.Digest = sl.hasher.Sum128().Bytes()
	}
	return err
}

// stage gives a slot a slab, where it has none.
func (o *outgoing) stage(ctx context.Context, sl *outSlot) error {
	if sl.slab != nil {
		return nil
	}
	select {
	case sl.slab = <-o.stages:
		sl.data, sl.staged = sl.slab.buf.Bytes(), true
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unstage takes it back, once neither the device nor anybody here has use for it.
func (o *outgoing) unstage(sl *outSlot) {
	if sl.staged {
		o.stages <- sl.slab
		sl.slab, sl.data, sl.staged = nil, nil, false
	}
}

// check says what is wrong with a chunk that is to be written in place.
func (o *outgoing) check(c *transport.Chunk) error {
	if !o.inPlace {
		return nil
	}
	for i := range c.Extents {
		if err := o.memory.check(&c.Extents[i]); err != nil {
			return err
		}
	}
	return nil
}
