package transporttest

import (
	"context"
	"io"
	"sync"
	"testing"

	"github.com/xferd/xferd/transport"
)

// Feed is a scripted transport.Feed. It checks that every chunk is answered
// exactly once, with a verdict per extent.
type Feed struct {
	// Gate, when set, is received from before each chunk.
	Gate <-chan struct{}
	// Err ends the feed in place of io.EOF.
	Err error
	// Open keeps the feed from ending: after the last chunk it blocks.
	Open bool

	mu       sync.Mutex
	chunks   []*transport.Chunk
	next     int
	out      map[*transport.Chunk]bool
	verdicts map[uint64][]transport.Verdict
	faults   []string
	answered chan uint64
	streams  map[int]int // chunks taken per stream
}

// NewFeed returns a feed of these chunks.
func NewFeed(chunks ...*transport.Chunk) *Feed {
	return &Feed{
		chunks: chunks, out: map[*transport.Chunk]bool{}, verdicts: map[uint64][]transport.Verdict{},
		answered: make(chan uint64, len(chunks)+1), streams: map[int]int{},
	}
}

// Next implements transport.Feed.
func (f *Feed) Next(ctx context.Context, stream int) (*transport.Chunk, error) {
	if f.Gate != nil {
		select {
		case <-f.Gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.next == len(f.chunks) {
		switch {
		case f.Err != nil:
			return nil, f.Err
		case f.Open:
			f.mu.Unlock()
			<-ctx.Done()
			f.mu.Lock()
			return nil, ctx.Err()
		}
		return nil, io.EOF
	}
	c := f.chunks[f.next]
	f.next++
	f.out[c] = true
	f.streams[stream]++
	return c, nil
}

// Done implements transport.Feed.
func (f *Feed) Done(c *transport.Chunk, verdicts []transport.Verdict) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.out[c] {
		f.faults = append(f.faults, "Done for a chunk that is not out")
		return
	}
	delete(f.out, c)
	if len(verdicts) != len(c.Extents) {
		f.faults = append(f.faults, "not one verdict per extent")
	}
	f.verdicts[c.Seq] = append([]transport.Verdict(nil), verdicts...)
	f.answered <- c.Seq
}

// Settled checks that no chunk is out any more.
func (f *Feed) Settled(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fault := range f.faults {
		t.Error(fault)
	}
	if len(f.out) > 0 {
		t.Errorf("%d chunks were never answered", len(f.out))
	}
}

// Verdict returns the verdict on one extent.
func (f *Feed) Verdict(t *testing.T, seq uint64, extent int) transport.Verdict {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.verdicts[seq]
	if len(v) <= extent {
		t.Fatalf("no verdict on extent %d of chunk %d", extent, seq)
	}
	return v[extent]
}

// allPlaced checks that every extent of every chunk landed.
func (f *Feed) allPlaced(t *testing.T) {
	t.Helper()
	f.Settled(t)
	for _, c := range f.chunks {
		for i := range c.Extents {
			if v := f.Verdict(t, c.Seq, i); v.Code != transport.Placed || v.Err != nil {
				t.Errorf("chunk %d extent %d: %v, %v", c.Seq, i, v.Code, v.Err)
			}
		}
	}
}

// taken returns how many chunks were handed out.
func (f *Feed) taken() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next
}
