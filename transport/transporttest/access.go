package transporttest

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/xferd/xferd/transport"
)

// testStaleEpoch: an epoch older than one prepared before is refused, and a
// grant of an older epoch is worth nothing once a newer one is prepared.
func testStaleEpoch(t *testing.T, s *suite) {
	a, d, closeAll := s.open(t)
	t.Cleanup(closeAll)
	id := newEdge()
	po := transport.PrepareOptions{Streams: 1, ChunkSize: ChunkSize}
	first, err := a.Prepare(t.Context(), id, NewSink(t), po)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	newer := id
	newer.Epoch++
	second, err := a.Prepare(t.Context(), newer, NewSink(t), po)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	e := &edge{t: t, in: first, dialer: d}
	if out, err := e.dial(id, first.Grant(), options{streams: 1}); err == nil {
		out.Close()
		t.Error("a stale grant was taken")
	}
	second.Close()
	if in, err := a.Prepare(t.Context(), id, NewSink(t), po); !errors.Is(err, transport.ErrStaleEpoch) {
		if err == nil {
			in.Close()
		}
		t.Errorf("Prepare of a stale epoch: %v", err)
	}
	other := newEdge()
	other.Epoch = 1
	in, err := a.Prepare(t.Context(), other, NewSink(t), po)
	if err != nil {
		t.Fatalf("epochs of another transfer count: %v", err)
	}
	in.Close()
}

// denied checks that a grant does not open an edge.
func (e *edge) denied(in transport.Incoming, id transport.Edge, g transport.Grant) {
	e.t.Helper()
	out, err := e.dialTo(in, id, g, options{streams: 1, verify: true})
	if err == nil {
		out.Close()
		e.t.Error("dialled with a grant that is worth nothing")
		return
	}
	var unavailable *transport.UnavailableError
	if !errors.As(err, &unavailable) {
		e.t.Errorf("error %T: %v", err, err)
	}
}

// testWrongToken: only the token that was granted opens the edge, only this one,
// and only as what it was granted for.
func testWrongToken(t *testing.T, s *suite) {
	sink := NewSink(t)
	e := s.connect(t, sink, options{streams: 1, verify: true})
	for _, change := range []func(id *transport.Edge, g *transport.Grant){
		func(_ *transport.Edge, g *transport.Grant) { flip(g) },
		func(id *transport.Edge, _ *transport.Grant) { id.Epoch++ },
		func(id *transport.Edge, _ *transport.Grant) { id.Epoch-- },
		func(id *transport.Edge, _ *transport.Grant) { id.UID[3] ^= 1 },
	} {
		fresh := newEdge()
		in, err := e.accept.Prepare(t.Context(), fresh, NewSink(t), transport.PrepareOptions{Streams: 1, ChunkSize: ChunkSize, Verify: true})
		if err != nil {
			t.Fatal(err)
		}
		id, g := fresh, in.Grant()
		change(&id, &g)
		e.denied(in, id, g)
		in.Close()
	}
	feed := NewFeed(small(3)...)
	if err := e.run(feed); err != nil {
		t.Fatal(err)
	}
	feed.allPlaced(t)
}

// flip changes one bit of every secret of a grant.
func flip(g *transport.Grant) {
	for i := range g.Tokens {
		g.Tokens[i][31] ^= 1
	}
	p := append([]byte(nil), g.Params...)
	if len(p) > 0 {
		p[len(p)-1] ^= 1
	}
	g.Params = p
}

// testUsedToken: a token opens one stream once.
func testUsedToken(t *testing.T, s *suite) {
	e := s.connect(t, NewSink(t), options{streams: 1, verify: true})
	e.denied(e.in, e.id, e.grant)
	feed := NewFeed(small(3)...)
	if err := e.run(feed); err != nil {
		t.Fatal(err)
	}
	e.denied(e.in, e.id, e.grant)
}

// testClosedGrant: the fence forgets tokens that were not used.
func testClosedGrant(t *testing.T, s *suite) {
	a, d, closeAll := s.open(t)
	t.Cleanup(closeAll)
	id := newEdge()
	in, err := a.Prepare(t.Context(), id, NewSink(t), transport.PrepareOptions{Streams: 1, ChunkSize: ChunkSize})
	if err != nil {
		t.Fatal(err)
	}
	in.Close()
	(&edge{t: t, dialer: d}).denied(in, id, in.Grant())
}

// testRate: a limit holds. Only a lower bound of the time is checked.
func testRate(t *testing.T, s *suite) {
	const rate, n = 8 << 20, 3 << 20
	e := s.connect(t, NewSink(t), options{streams: 3, verify: true, maxRate: rate})
	_, chunks := slices(1, n, func(b []byte) *os.File { return fileOf(t, b) })
	feed := NewFeed(chunks...)
	start := time.Now()
	if err := e.run(feed); err != nil {
		t.Fatal(err)
	}
	// A burst of a tenth of a second is fine.
	if least := (n - rate/10) * time.Second / rate; time.Since(start) < least {
		t.Errorf("%d bytes in %v at %d B/s", n, time.Since(start), rate)
	}
	feed.allPlaced(t)
}

// testRateLifted: a limit under which the edge would never end is lifted while
// it runs, and set again.
func testRateLifted(t *testing.T, s *suite) {
	e := s.connect(t, NewSink(t), options{streams: 2, verify: true, maxRate: 1})
	_, chunks := slices(1, 8*ChunkSize, func(b []byte) *os.File { return fileOf(t, b) })
	feed := NewFeed(chunks...)
	done := e.start(t.Context(), feed)
	e.out.SetMaxRate(2)
	e.out.SetMaxRate(0)
	if err := wait(t, done); err != nil {
		t.Fatal(err)
	}
	feed.allPlaced(t)
}

// testStreams: streams of one file are at work at the same time, and no more are
// opened than there are chunks.
func testStreams(t *testing.T, s *suite) {
	const streams = 3
	sink := NewSink(t)
	sink.Files = true
	var mu sync.Mutex
	at := 0
	all := make(chan struct{})
	sink.OnPlace = func(ctx context.Context, _ uint64, _ []transport.ExtentHeader) error {
		mu.Lock()
		if at++; at == streams {
			close(all)
		}
		mu.Unlock()
		select {
		case <-all:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	e := s.connect(t, sink, options{streams: streams, verify: true})
	data, chunks := slices(1, 12*ChunkSize, func(b []byte) *os.File { return fileOf(t, b) })
	feed := NewFeed(chunks...)
	if err := e.run(feed); err != nil {
		t.Fatal(err)
	}
	feed.allPlaced(t)
	// One that has several chunks on their way may leave nothing to the last.
	if st := e.out.Stats(); st.Streams < 2 || st.Streams > streams || sink.most != streams {
		t.Errorf("%d streams opened, %d at work at once", st.Streams, sink.most)
	}
	if string(sink.content(t, 1)) != string(data) {
		t.Error("the file is not what was sent")
	}
}
