package transporttest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/xferd/xferd/transport"
)

// testMemoryBadExtents: a digest that is wrong, a sink that refuses, and memory
// that is not as large as the extent cost their extent, and nothing beside it
// changes.
func testMemoryBadExtents(t *testing.T, s *suite) {
	const n = 3000
	l := newLoad(t, fromBoth, ChunkSize, every(40, 500, 100))
	sink := l.sink(t)
	places := sink.InPlace
	sink.InPlace = func(h transport.ExtentHeader) [][]byte {
		p := places(h)
		if h.Offset == 3*n {
			p = p[:len(p)-1]
		}
		return p
	}
	sink.Refuse = func(h transport.ExtentHeader) error {
		if h.Offset == 2*n {
			return errScripted
		}
		return nil
	}
	c := &transport.Chunk{Seq: 1}
	for i := range int64(5) {
		x := l.extent(i*n, n)
		x.Digest = digestOf(l.packed()[x.Offset:x.End()])
		if i == 1 {
			x.Digest[3] ^= 1
		}
		c.Extents = append(c.Extents, x)
	}
	next := &transport.Chunk{Seq: 2, Extents: []transport.Extent{l.extent(5*n, n)}}
	e := s.connect(t, sink, l.options(1, true))
	feed := NewFeed(c, next)
	if err := e.run(feed); err != nil {
		t.Fatal(err)
	}
	sink.seal()
	for i, code := range []transport.Code{transport.Placed, transport.Mismatch, transport.Refused, transport.Refused, transport.Placed} {
		v := feed.Verdict(t, 1, i)
		if v.Code != code || i == 2 && !strings.Contains(v.Err.Error(), errScripted.Error()) {
			t.Errorf("extent %d: %v, %v", i, v.Code, v.Err)
		}
	}
	if v := feed.Verdict(t, 2, 0); v.Code != transport.Placed {
		t.Errorf("the next chunk: %v, %v", v.Code, v.Err)
	}
	if e.in.Stats().Mismatches != 1 || e.out.Stats().Mismatches != 1 {
		t.Error("the mismatch is not counted")
	}
	for _, off := range []int64{0, 4 * n, 5 * n} {
		if got := bytes.Join(l.layout.Pieces(l.dst.Mem, off, n), nil); !bytes.Equal(got, l.packed()[off:off+n]) {
			t.Errorf("the extent at %d is not there", off)
		}
	}
	used := make([]bool, len(l.dst.Mem))
	for _, r := range l.layout.Places(0, 6*n) {
		for i := r.Offset; i < r.End(); i++ {
			used[i] = true
		}
	}
	for i, b := range l.dst.Mem {
		if !used[i] && b != canary {
			t.Fatalf("byte %d was written, which belongs to no extent", i)
		}
	}
}

// testMemoryGone: memory whose file became shorter costs the extents that were
// there, at the target or at the source, never the process, and never the session.
func testMemoryGone(t *testing.T, s *suite) {
	if !s.traits.Gone {
		t.Skip("a device has the memory pinned")
	}
	const n, half = ChunkSize, 4 * ChunkSize / 2
	for _, x := range []struct {
		name   string
		source bool
		code   transport.Code
	}{{"target", false, transport.Refused}, {"source", true, transport.SourceFailed}} {
		t.Run(x.name, func(t *testing.T) {
			l := newLoad(t, fromMapped, 4*ChunkSize, Layout{{Length: 4 * ChunkSize}})
			l.at = 0
			gone := l.dst
			if x.source {
				gone = l.src
			}
			if err := gone.File.Truncate(half + n/2); err != nil {
				t.Fatal(err)
			}
			c := &transport.Chunk{Seq: 1}
			for i := range int64(8) {
				c.Extents = append(c.Extents, l.extent(i*n/2, 1000))
			}
			long := &transport.Chunk{Seq: 2, Extents: []transport.Extent{l.extent(half, n)}}
			last := &transport.Chunk{Seq: 3, Extents: []transport.Extent{l.extent(0, 1000)}}
			e := s.connect(t, l.sink(t), l.options(1, true))
			feed := NewFeed(c, long, last)
			if err := e.run(feed); err != nil {
				t.Fatal(err)
			}
			for i := range c.Extents {
				want := transport.Placed
				if i >= 5 {
					want = x.code
				}
				if v := feed.Verdict(t, 1, i); v.Code != want {
					t.Errorf("extent %d: %v, %v", i, v.Code, v.Err)
				}
			}
			for seq, want := range map[uint64]transport.Code{2: x.code, 3: transport.Placed} {
				if v := feed.Verdict(t, seq, 0); v.Code != want {
					t.Errorf("chunk %d: %v, %v", seq, v.Code, v.Err)
				}
			}
		})
	}
}

// endless gives chunks for the same places again and again.
type endless struct {
	*Feed
	l     *load
	done  chan uint64
	count uint64
}

func newEndless(l *load) *endless {
	return &endless{Feed: NewFeed(), l: l, done: make(chan uint64, 1000)}
}

func (f *endless) Next(ctx context.Context, stream int) (*transport.Chunk, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	total := f.l.layout.Size()
	off := int64(f.count) * ChunkSize % (total / ChunkSize * ChunkSize)
	c := &transport.Chunk{Seq: f.count, Extents: []transport.Extent{f.l.extent(off, ChunkSize)}}
	f.count++
	f.out[c] = true
	f.streams[stream]++
	return c, nil
}

func (f *endless) Done(c *transport.Chunk, v []transport.Verdict) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.out[c] {
		f.faults = append(f.faults, "Done for a chunk that is not out")
	}
	delete(f.out, c)
	select {
	case f.done <- c.Seq:
	default:
	}
}

// testMemoryAgain: chunk after chunk over one session, as of a transfer that was
// prepared, with other bytes each time.
func testMemoryAgain(t *testing.T, s *suite) {
	const n = 40_000
	l := newLoad(t, fromMapped, ChunkSize, Layout{{Offset: 1000, Length: n / 2}, {Offset: 100_000, Length: n / 2}})
	e := s.connect(t, l.sink(t), l.options(1, true))
	gate := make(chan struct{})
	var chunks []*transport.Chunk
	for i := range uint64(20) {
		chunks = append(chunks, &transport.Chunk{Seq: i, Extents: []transport.Extent{l.extent(0, n)}})
	}
	feed := NewFeed(chunks...)
	feed.Gate = gate
	done := e.start(t.Context(), feed)
	for i := range chunks {
		copy(l.packed(), content(uint64(100+i), n))
		gate <- struct{}{}
		wait(t, feed.answered)
		if v := feed.Verdict(t, uint64(i), 0); v.Code != transport.Placed || v.Digest != digestOf(l.packed()) {
			t.Fatalf("round %d: %+v", i, v)
		}
		l.layout.Check(t, l.dst.Mem, l.packed())
	}
	close(gate)
	if err := wait(t, done); err != nil {
		t.Fatal(err)
	}
}

// testMemoryCancel: a source that gives up in the middle. What was said to be
// placed is, and nothing lands once the target's end is closed.
func testMemoryCancel(t *testing.T, s *suite) {
	l := newLoad(t, fromBoth, 9*ChunkSize, Layout{{Offset: 4096, Length: 8 * ChunkSize}})
	sink := l.sink(t)
	e := s.connect(t, sink, l.options(3, true))
	feed := newEndless(l)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.out.Run(ctx, feed) }()
	for range 4 {
		wait(t, feed.done)
	}
	cancel()
	if err := wait(t, done); !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
	feed.Settled(t)
	l.quiet(t, e, sink)
}

// testMemoryFence: the target closes in the middle, with a source that goes on.
func testMemoryFence(t *testing.T, s *suite) {
	for range 3 {
		l := newLoad(t, fromMapped, 9*ChunkSize, Layout{{Offset: 4096, Length: 8 * ChunkSize}})
		sink := l.sink(t)
		e := s.connect(t, sink, l.options(4, true))
		feed := newEndless(l)
		done := make(chan error, 1)
		go func() { done <- e.out.Run(t.Context(), feed) }()
		for range 4 {
			wait(t, feed.done)
		}
		l.quiet(t, e, sink)
		if err := wait(t, done); err == nil {
			t.Error("Run ended well although the target closed")
		}
		feed.Settled(t)
		l.untouched(t)
	}
}

// quiet closes the target's end: from then on nothing lands.
func (l *load) quiet(t *testing.T, e *edge, sink *Sink) {
	t.Helper()
	if err := e.in.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	sink.seal()
	l.dst.Fill(canary)
	l.untouched(t)
}

// untouched checks that nothing landed since quiet.
func (l *load) untouched(t *testing.T) {
	t.Helper()
	if i := stray(l.dst.Mem); i >= 0 {
		t.Fatalf("byte %d of the memory was written after the fence", i)
	}
}
