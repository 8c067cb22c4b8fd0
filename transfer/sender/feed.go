package sender

import (
	"context"
	"io"
	"slices"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/transfer/plan"
	"github.com/xferd/xferd/transport"
)

// feed implements transport.Feed over the plan of an edge.
type feed struct{ *Edge }

// load is a chunk on its way: what the plan asked for and what was put to it.
// Loads are used again.
type load struct {
	want     plan.Chunk
	entries  []*entry            // one per extent of want
	verdicts []transport.Verdict // likewise
	moved    []int64             // likewise: bytes that it carries
	byFile   bool                // no reading into memory
	final    bool                // every extent is Final

	chunk    transport.Chunk
	index    []int // of chunk's extents in want
	segments []transport.Range
	places   []transport.Range // in the target's region
	bodies   []transport.Body
	files    []*openFile
	buf      *bufpool.Buffer
}

// reset makes l ready for the chunk in want.
func (l *load) reset() {
	n := len(l.want.Extents)
	l.entries = grow(l.entries, n)
	l.verdicts = grow(l.verdicts, n)
	l.moved = grow(l.moved, n)
	l.final = false
	l.chunk.Extents = l.chunk.Extents[:0]
	l.index = l.index[:0]
	l.segments = l.segments[:0]
	l.places = l.places[:0]
	l.bodies = l.bodies[:0]
}

// grow returns a zeroed slice of n elements, in the memory of s if it fits.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// Next implements transport.Feed.
func (f feed) Next(ctx context.Context, _ int) (*transport.Chunk, error) {
	for {
		l, err := f.nextLoad(ctx)
		if err != nil {
			return nil, err
		}
		f.fill(l)
		if len(l.chunk.Extents) > 0 {
			return &l.chunk, nil
		}
		// No source of it could be read.
		f.mu.Lock()
		f.handBack(l)
		f.mu.Unlock()
	}
}

// nextLoad waits for the next chunk of the plan.
func (e *Edge) nextLoad(ctx context.Context) (*load, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var l *load
	if n := len(e.spare); n > 0 {
		l, e.spare = e.spare[n-1], e.spare[:n-1]
	} else {
		l = new(load)
	}
	watched := false
	for {
		var err error
		if err = ctx.Err(); err == nil && (e.noMore || e.ended || e.back.turn) {
			err = io.EOF
		}
		if err != nil {
			e.spare = append(e.spare, l)
			return nil, err
		}
		if e.plan.Next(&l.want) {
			break
		}
		if !watched {
			watched = true
			stop := context.AfterFunc(ctx, func() {
				e.mu.Lock()
				defer e.mu.Unlock()
				e.work.Broadcast()
			})
			defer stop()
		}
		e.work.Wait()
	}
	l.reset()
	for i, x := range l.want.Extents {
		l.entries[i] = e.entries[x.Entry]
	}
	l.byFile = e.used == transport.Local
	e.work.Signal() // there may be more, for another stream
	e.seq++
	l.chunk.Seq = e.seq
	e.loads[e.seq] = l
	return l, nil
}

// Done implements transport.Feed.
func (f feed) Done(c *transport.Chunk, verdicts []transport.Verdict) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.loads[c.Seq]
	for j, i := range l.index {
		l.verdicts[i] = verdicts[j]
	}
	f.handBack(l)
}

// handBack gives a load that is over to be settled, once it is known what became
// of it. Called with mu held.
func (e *Edge) handBack(l *load) {
	delete(e.loads, l.chunk.Seq)
	if l.buf != nil {
		l.buf.Release()
		l.buf = nil
	}
	if slices.ContainsFunc(l.verdicts, isUnknown) {
		e.unsure = append(e.unsure, l)
		return
	}
	e.settled = append(e.settled, settlement{load: l})
	e.settle.Signal()
}

// recycle keeps a settled load for the next chunk.
func (e *Edge) recycle(l *load) {
	for i, f := range l.files {
		e.files.put(f)
		l.files[i] = nil
	}
	l.files = l.files[:0]
	clear(l.entries)
	clear(l.bodies)
	clear(l.chunk.Extents)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.spare = append(e.spare, l)
}
