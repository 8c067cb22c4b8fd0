package transporttest

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/xferd/xferd/transport"
)

var errScripted = errors.New("scripted failure")

// small returns n chunks of one small extent in memory each.
func small(n int) []*transport.Chunk {
	var chunks []*transport.Chunk
	for i := range uint64(n) {
		chunks = append(chunks, &transport.Chunk{Seq: i, Extents: []transport.Extent{
			piece{entry: i, length: 1000, data: content(i, 1000)}.extent(nil),
		}})
	}
	return chunks
}

// testRefusals: an extent that the sink does not take is drained, the others
// land.
func testRefusals(t *testing.T, s *suite) {
	for _, toFile := range []bool{false, true} {
		for _, n := range []int{1000, ChunkSize - 1000} {
			sink := NewSink(t)
			sink.Files = toFile
			sink.Refuse = func(h transport.ExtentHeader) error {
				if h.Entry == 1 {
					return errScripted
				}
				return nil
			}
			e := s.connect(t, sink, options{streams: 1, verify: true})
			data := content(1, n)
			good := piece{entry: 2, length: 500, data: data}
			feed := NewFeed(
				&transport.Chunk{Seq: 1, Extents: []transport.Extent{
					good.extent(nil),
					piece{entry: 1, length: int64(n), data: data}.extent(fileOf(t, data)),
					piece{entry: 3, length: 400, data: data}.extent(nil),
				}},
				&transport.Chunk{Seq: 2, Extents: []transport.Extent{piece{entry: 4, length: 300, data: data}.extent(nil)}},
			)
			if err := e.run(feed); err != nil {
				t.Fatal(err)
			}
			sink.seal()
			if v := feed.Verdict(t, 1, 1); v.Code != transport.Refused || v.Err == nil || !strings.Contains(v.Err.Error(), errScripted.Error()) {
				t.Errorf("verdict %v, %v", v.Code, v.Err)
			}
			for _, at := range [][2]int{{1, 0}, {1, 2}, {2, 0}} {
				if v := feed.Verdict(t, uint64(at[0]), at[1]); v.Code != transport.Placed {
					t.Errorf("chunk %d extent %d: %v, %v", at[0], at[1], v.Code, v.Err)
				}
			}
			if sink.codes[transport.Refused] != 1 || sink.codes[transport.Placed] != 3 {
				t.Errorf("the sink was told %v", sink.codes)
			}
		}
	}
}

// testPlaceError: an error of Place ends the session, and says why.
func testPlaceError(t *testing.T, s *suite) {
	sink := NewSink(t)
	sink.OnPlace = func(_ context.Context, seq uint64, _ []transport.ExtentHeader) error {
		if seq == 3 {
			return errScripted
		}
		return nil
	}
	e := s.connect(t, sink, options{streams: 2, verify: true})
	feed := NewFeed(small(40)...)
	err := e.run(feed)
	if err == nil || !strings.Contains(err.Error(), errScripted.Error()) {
		t.Errorf("Run: %v", err)
	}
	sink.seal()
	if v := feed.Verdict(t, 3, 0); v.Code != transport.Unknown {
		t.Errorf("verdict %v", v.Code)
	}
}

// testWrongDigest: bytes that do not have the digest they come with are told
// apart, and their neighbours are not hit.
func testWrongDigest(t *testing.T, s *suite) {
	if !s.traits.Digests {
		t.Skip("this transport does not verify")
	}
	for _, toFile := range []bool{false, true} {
		sink := NewSink(t)
		sink.Files = toFile
		e := s.connect(t, sink, options{streams: 1, verify: true})
		c := &transport.Chunk{Seq: 1}
		for i := range uint64(3) {
			x := piece{entry: i, length: 5000, data: content(i, 5000)}.extent(nil)
			x.Digest = digestOf(x.Bodies[0].Mem)
			if i == 1 {
				x.Digest[0] ^= 1
			}
			c.Extents = append(c.Extents, x)
		}
		feed := NewFeed(c)
		if err := e.run(feed); err != nil {
			t.Fatal(err)
		}
		sink.seal()
		for i, code := range []transport.Code{transport.Placed, transport.Mismatch, transport.Placed} {
			if v := feed.Verdict(t, 1, i); v.Code != code {
				t.Errorf("extent %d: %v, %v", i, v.Code, v.Err)
			}
		}
		if sink.codes[transport.Mismatch] != 1 || e.in.Stats().Mismatches != 1 || e.out.Stats().Mismatches != 1 {
			t.Errorf("mismatch not counted: %v", sink.codes)
		}
	}
}

// stuck makes a sink that blocks in Place, until its context ends or release is
// closed, after it said so.
func stuck(t *testing.T) (sink *Sink, reached <-chan uint64, release chan struct{}) {
	sink = NewSink(t)
	c := make(chan uint64, 1000)
	release = make(chan struct{})
	sink.OnPlace = func(ctx context.Context, seq uint64, _ []transport.ExtentHeader) error {
		c <- seq
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return sink, c, release
}

// testCancel: a context that ends ends Run, with everything answered.
func testCancel(t *testing.T, s *suite) {
	sink, reached, _ := stuck(t)
	e := s.connect(t, sink, options{streams: 3, verify: true})
	data, chunks := slices(1, 30*ChunkSize, func(b []byte) *os.File { return fileOf(t, b) })
	_ = data
	feed := NewFeed(chunks...)
	ctx, cancel := context.WithCancel(t.Context())
	done := e.start(ctx, feed)
	wait(t, reached)
	cancel()
	if err := wait(t, done); !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
	feed.Settled(t)
	e.in.Close()
	sink.seal()
	if sink.codes[transport.Placed] > 0 {
		t.Error("placed although the sink was stuck")
	}
}

// testCloseSource: Close ends Run with net.ErrClosed; also an edge that is idle.
func testCloseSource(t *testing.T, s *suite) {
	for _, chunks := range [][]*transport.Chunk{nil, small(20)} {
		sink := NewSink(t)
		e := s.connect(t, sink, options{streams: 2, verify: true})
		feed := NewFeed(chunks...)
		feed.Open = true
		done := e.start(t.Context(), feed)
		for range chunks {
			wait(t, feed.answered)
		}
		e.out.Close()
		if err := wait(t, done); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Run: %v", err)
		}
		if err := e.out.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		feed.allPlaced(t)
		e.in.Close()
		sink.seal()
	}
}

// testFence: Close of the target in the middle of traffic. Nothing touches the
// sink afterwards, and the source learns that it does not know.
func testFence(t *testing.T, s *suite) {
	for range 5 {
		sink := NewSink(t)
		sink.Files = true
		reached := make(chan struct{}, 1000)
		sink.OnPlace = func(context.Context, uint64, []transport.ExtentHeader) error {
			reached <- struct{}{}
			return nil
		}
		e := s.connect(t, sink, options{streams: 4, verify: true})
		_, chunks := slices(1, 60*ChunkSize, func(b []byte) *os.File { return fileOf(t, b) })
		feed := NewFeed(chunks...)
		feed.Open = true
		done := e.start(t.Context(), feed)
		for range 10 {
			wait(t, reached)
		}
		if err := e.in.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		sink.seal()
		if err := wait(t, done); err == nil {
			t.Error("Run ended well although the target closed")
		}
		feed.Settled(t)
		if err := e.in.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
	}
}

// testFenceWaits: Close does not return while the sink is at work.
func testFenceWaits(t *testing.T, s *suite) {
	sink := NewSink(t)
	reached, ended, release := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	var out atomic.Bool
	sink.OnLanded = func(ctx context.Context, _ uint64, _ []transport.Arrival) {
		reached <- struct{}{}
		<-ctx.Done() // Close began
		close(ended)
		<-release // and has to wait for a sink that does not care
		out.Store(true)
	}
	e := s.connect(t, sink, options{streams: 1, verify: true})
	feed := NewFeed(small(1)...)
	feed.Open = true // else all of it is over, and well, before the source hears of the end
	done := e.start(t.Context(), feed)
	wait(t, reached)
	closed := make(chan struct{})
	go func() {
		e.in.Close()
		if !out.Load() {
			t.Error("Close returned while the sink was at work")
		}
		close(closed)
	}()
	wait(t, ended)
	close(release)
	wait(t, closed)
	sink.seal()
	if err := wait(t, done); err == nil {
		t.Error("Run ended well although the target closed")
	}
	feed.Settled(t)
}

// testBackPressure: a sink that takes nothing stops the feed soon.
func testBackPressure(t *testing.T, s *suite) {
	const streams, total = 2, 200
	sink, reached, release := stuck(t)
	e := s.connect(t, sink, options{streams: streams, verify: true})
	_, chunks := slices(1, total*ChunkSize, func(b []byte) *os.File { return fileOf(t, b) })
	feed := NewFeed(chunks...)
	done := e.start(t.Context(), feed)
	for range streams {
		wait(t, reached)
	}
	if n := feed.taken(); n > total/2 {
		t.Errorf("%d chunks taken while the sink is stuck", n)
	}
	close(release)
	if err := wait(t, done); err != nil {
		t.Fatal(err)
	}
	feed.allPlaced(t)
}

// testFeedError: an error of the feed comes out of Run, after which every chunk
// was answered.
func testFeedError(t *testing.T, s *suite) {
	sink := NewSink(t)
	e := s.connect(t, sink, options{streams: 2, verify: true})
	feed := NewFeed(small(10)...)
	feed.Err = errScripted
	if err := e.run(feed); !errors.Is(err, errScripted) {
		t.Errorf("Run: %v", err)
	}
	sink.seal()
}

// testBadChunk: a chunk that makes no sense is answered and hurts no other.
func testBadChunk(t *testing.T, s *suite) {
	sink := NewSink(t)
	e := s.connect(t, sink, options{streams: 1, verify: true})
	chunks := small(3)
	chunks[1].Extents[0].Bodies = nil
	feed := NewFeed(chunks...)
	if err := e.run(feed); err != nil {
		t.Fatal(err)
	}
	sink.seal()
	for i, code := range []transport.Code{transport.Placed, transport.SourceFailed, transport.Placed} {
		if v := feed.Verdict(t, uint64(i), 0); v.Code != code {
			t.Errorf("chunk %d: %v, %v", i, v.Code, v.Err)
		}
	}
}
