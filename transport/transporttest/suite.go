// Package transporttest is the conformance suite of transports: what every
// implementation of package transport has to do, with a scripted feed and sink.
// It is for tests only, and not the place for what one transport alone does.
package transporttest

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/xferd/xferd/transport"
)

// ChunkSize is the chunk_size that the suite works with, in bytes.
const ChunkSize = 1 << 20

// Open makes a fresh pair of connected transports. The suite calls close when
// it has closed all edges.
type Open func(t *testing.T) (a transport.Acceptor, d transport.Dialer, close func())

// Traits are what transports may differ in.
type Traits struct {
	// Digests: the target computes a digest of every extent when asked to
	// verify. Without it a digest may be missing, but never be wrong.
	Digests bool
	// Gone: no device has the memory that extents lie in pinned, so that it can be
	// gone in the middle.
	Gone bool
}

// Run runs the suite.
func Run(t *testing.T, open Open, traits Traits) {
	s := &suite{open: open, traits: traits}
	for _, c := range []struct {
		name string
		run  func(*testing.T, *suite)
	}{
		{"shapes", testShapes},
		{"order", testOrder},
		{"sources", testSources},
		{"refusals", testRefusals},
		{"place error", testPlaceError},
		{"given digest is wrong", testWrongDigest},
		{"cancel", testCancel},
		{"close at source", testCloseSource},
		{"fence", testFence},
		{"fence waits", testFenceWaits},
		{"back-pressure", testBackPressure},
		{"feed error", testFeedError},
		{"stale epoch", testStaleEpoch},
		{"wrong token", testWrongToken},
		{"used token", testUsedToken},
		{"grant of a closed edge", testClosedGrant},
		{"rate", testRate},
		{"rate lifted", testRateLifted},
		{"streams", testStreams},
		{"bad chunk", testBadChunk},
		{"memory/shapes", testMemoryShapes},
		{"memory/100000 places", testMemoryManyPlaces},
		{"memory/into files", testMemoryIntoFiles},
		{"memory/holes", testMemoryHoles},
		{"memory/bad extents", testMemoryBadExtents},
		{"memory/bad source", testMemoryBadSource},
		{"memory/gone", testMemoryGone},
		{"memory/again and again", testMemoryAgain},
		{"memory/cancel", testMemoryCancel},
		{"memory/fence", testMemoryFence},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, s) })
	}
}

type suite struct {
	open   Open
	traits Traits
}

// patience is how long the suite waits for what has to happen at all.
const patience = 2 * time.Minute

// edge is one connected edge.
type edge struct {
	t      *testing.T
	id     transport.Edge
	grant  transport.Grant
	in     transport.Incoming
	out    transport.Outgoing
	accept transport.Acceptor
	dialer transport.Dialer
}

type options struct {
	streams int
	verify  bool
	maxRate int64
	memory  *transport.Memory   // of the target
	sources []*transport.Memory // of the source
}

func newEdge() transport.Edge {
	e := transport.Edge{Epoch: 7, Peer: "peer"}
	rand.Read(e.UID[:])
	return e
}

// connect opens an edge into the sink. It is closed with the test.
func (s *suite) connect(t *testing.T, sink transport.Sink, o options) *edge {
	t.Helper()
	a, d, closeAll := s.open(t)
	t.Cleanup(closeAll)
	e := &edge{t: t, id: newEdge(), accept: a, dialer: d}
	var err error
	e.in, err = a.Prepare(t.Context(), e.id, sink, transport.PrepareOptions{
		Streams: o.streams, ChunkSize: ChunkSize, Verify: o.verify, Memory: o.memory, Principal: "somebody",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.in.Close() })
	e.grant = e.in.Grant()
	e.out, err = e.dial(e.id, e.grant, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.out.Close() })
	return e
}

func (e *edge) dial(id transport.Edge, g transport.Grant, o options) (transport.Outgoing, error) {
	return e.dialTo(e.in, id, g, o)
}

// dialTo dials an edge with any grant.
func (e *edge) dialTo(in transport.Incoming, id transport.Edge, g transport.Grant, o options) (transport.Outgoing, error) {
	return e.dialer.Dial(e.t.Context(), id, g, transport.DialOptions{
		Streams: o.streams, ChunkSize: ChunkSize, Verify: o.verify, MaxRate: o.maxRate, Control: reach(in), Memory: o.sources, Principal: "somebody",
	})
}

// start runs the edge; the result comes over the channel.
func (e *edge) start(ctx context.Context, f transport.Feed) <-chan error {
	done := make(chan error, 1)
	go func() { done <- e.out.Run(ctx, f) }()
	return done
}

// run moves everything the feed has and closes both ends.
func (e *edge) run(f *Feed) error {
	e.t.Helper()
	err := wait(e.t, e.start(e.t.Context(), f))
	f.Settled(e.t)
	if cerr := e.in.Close(); cerr != nil {
		e.t.Errorf("Incoming.Close: %v", cerr)
	}
	if cerr := e.out.Close(); cerr != nil {
		e.t.Errorf("Outgoing.Close: %v", cerr)
	}
	return err
}

// wait receives from c, and fails the test when nothing comes.
func wait[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case v := <-c:
		return v
	case <-timer.C:
		t.Fatal("nothing happens")
		panic("unreachable")
	}
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) }
