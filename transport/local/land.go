package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/transport"
)

// worker is one stream: it takes chunks from the feed and lands them.
type worker struct {
	o         *outgoing
	in        *incoming
	feed      transport.Feed
	n         int
	following func() // starts the next worker
	counted   bool

	headers  []transport.ExtentHeader
	arrivals []transport.Arrival
	hasher   xxh3.Hasher
	lease    *bufpool.Buffer // for what lands in memory
}

func newWorker(o *outgoing, f transport.Feed, n int) *worker {
	return &worker{o: o, in: o.in, feed: f, n: n}
}

// land moves the bytes of all extents and fills arrivals. An error ends the
// session: no arrival is good then.
func (w *worker) land(ctx context.Context, c *transport.Chunk, landings []transport.Landing) error {
	w.arrivals = append(w.arrivals[:0], make([]transport.Arrival, len(c.Extents))...)
	for i := range w.arrivals {
		w.arrivals[i].ExtentHeader = w.headers[i]
	}
	err := w.memory(ctx, c, landings)
	for i := 0; i < len(c.Extents) && err == nil; i++ {
		err = w.extent(ctx, &c.Extents[i], &landings[i], &w.arrivals[i])
	}
	if err != nil {
		for i := range w.arrivals {
			a := &w.arrivals[i]
			a.Code, a.Err, a.Mem, a.Digest = transport.Unknown, err, nil, transport.Digest{}
		}
	}
	return err
}

// inPlace reports whether the extent's own memory can be handed to the sink.
func inPlace(e *transport.Extent) bool {
	return len(e.Bodies) == 0 || len(e.Bodies) == 1 && e.Bodies[0].File == nil
}

// memory takes what is needed for extents that land in memory, in one lease.
func (w *worker) memory(ctx context.Context, c *transport.Chunk, landings []transport.Landing) error {
	if len(landings) != len(c.Extents) {
		return fmt.Errorf("sink gave %d landings for %d extents", len(landings), len(c.Extents))
	}
	need := 0
	for i := range landings {
		if l := &landings[i]; l.Refuse == nil && l.File == nil && l.Mem == nil && !inPlace(&c.Extents[i]) {
			need += int(c.Extents[i].DataLength())
		}
	}
	if need == 0 {
		return nil
	}
	var err error
	if w.lease, err = w.in.t.cfg.Pool.Get(ctx, need); err != nil {
		return err
	}
	mem := w.lease.Bytes()
	for i := range landings {
		if l := &landings[i]; l.Refuse == nil && l.File == nil && l.Mem == nil && !inPlace(&c.Extents[i]) {
			n := c.Extents[i].DataLength()
			w.arrivals[i].Mem, mem = mem[:n:n], mem[n:]
		}
	}
	return nil
}

func (w *worker) release() {
	clear(w.arrivals)
	if w.lease != nil {
		w.lease.Release()
		w.lease = nil
	}
}

// extent moves one extent. What is wrong with it alone goes into a.
func (w *worker) extent(ctx context.Context, e *transport.Extent, l *transport.Landing, a *transport.Arrival) error {
	var err error
	switch {
	case l.Refuse != nil:
		a.Err = l.Refuse
	case l.Mem != nil:
		err = w.place(ctx, e, l.Mem, a)
	case l.File == nil && inPlace(e):
		if err = w.o.pacer.Wait(ctx, e.DataLength()); err == nil && len(e.Bodies) == 1 {
			a.Mem = e.Bodies[0].Mem
			w.count(&w.in.stats.Copied, e.DataLength())
		}
	case l.File == nil:
		err = w.gather(ctx, e, a)
	default:
		for j := 0; j < len(e.Bodies) && err == nil && a.Err == nil; j++ {
			if b, seg := &e.Bodies[j], e.Segments[j]; b.File != nil {
				a.Err, err = w.copyFile(ctx, b.File, b.FileOffset, l.File, seg.Offset, seg.Length)
			} else {
				a.Err, err = w.writeMem(ctx, b.Mem, l.File, seg.Offset)
			}
		}
	}
	if err != nil {
		return err
	}
	if a.Err == nil && l.Mem == nil && w.verifies() {
		w.verify(e, a, l.File == nil)
	}
	switch {
	case a.Err == nil:
		a.Code = transport.Placed
		return nil
	case errors.Is(a.Err, transport.ErrSourceShort):
		a.Code = transport.SourceShort
	case errors.Is(a.Err, transport.ErrSourceFailed):
		a.Code = transport.SourceFailed
	case errors.Is(a.Err, transport.ErrMismatch):
		a.Code = transport.Mismatch
		w.in.stats.Mismatches.Add(1)
	default:
		a.Code = transport.Refused
	}
	a.Mem = nil
	return nil
}

func (w *worker) count(of *atomic.Int64, n int64) {
	of.Add(n)
	w.in.stats.Bytes.Add(n)
}

func (w *worker) verifies() bool { return w.in.opt.Verify && w.o.opt.Verify }

// gather reads the bodies of an extent into a.Mem.
func (w *worker) gather(ctx context.Context, e *transport.Extent, a *transport.Arrival) error {
	mem := a.Mem
	for j := range e.Bodies {
		b, part := &e.Bodies[j], mem[:e.Segments[j].Length]
		mem = mem[len(part):]
		if err := w.o.pacer.Wait(ctx, int64(len(part))); err != nil {
			return err
		}
		if b.File == nil {
			copy(part, b.Mem)
		} else if a.Err = w.readSource(b.File, part, b.FileOffset); a.Err != nil {
			return nil
		}
		w.count(&w.in.stats.Copied, int64(len(part)))
	}
	return nil
}

// verify computes the digest of an extent whose bytes went through memory, and
// compares it with what the feed says.
func (w *worker) verify(e *transport.Extent, a *transport.Arrival, inMem bool) {
	for j := range e.Bodies {
		if e.Bodies[j].File != nil && !inMem {
			return // the kernel had them
		}
	}
	start := time.Now()
	w.hasher.Reset()
	at, mem := e.Offset, a.Mem
	for j, seg := range e.Segments {
		w.hashZeros(seg.Offset - at)
		at = seg.End()
		if inMem {
			w.hasher.Write(mem[:seg.Length])
			mem = mem[seg.Length:]
		} else {
			w.hasher.Write(e.Bodies[j].Mem)
		}
	}
	w.hashZeros(e.End() - at)
	d := transport.Digest(w.hasher.Sum128().Bytes())
	w.in.stats.Hashing.Since(start)
	if !e.Digest.IsZero() && e.Digest != d {
		a.Err = transport.ErrMismatch
		return
	}
	a.Digest = d
}

var zeros [64 << 10]byte

func (w *worker) hashZeros(n int64) {
	for n > 0 {
		part := min(n, int64(len(zeros)))
		w.hasher.Write(zeros[:part])
		n -= part
	}
}

// readSource fills b from the file; the error says why the source is of no use.
func (w *worker) readSource(f *os.File, b []byte, off int64) error {
	start := time.Now()
	_, err := f.ReadAt(b, off)
	w.in.stats.Reading.Since(start)
	switch err {
	case nil:
		return nil
	case io.EOF:
		return transport.ErrSourceShort
	}
	return fmt.Errorf("%w: %w", transport.ErrSourceFailed, err)
}
