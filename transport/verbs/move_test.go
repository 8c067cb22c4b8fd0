package verbs

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	mrand "math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/transporttest"
)

// chunkSize that the tests of the matrix work with, in bytes.
const chunkSize = 64 << 10

// store is the target's side of one entry: a sink that keeps the bytes and the
// record of what landed.
type store struct {
	place    func(ctx context.Context, offset int64) error // first in Place, if set
	landed   func(offset int64)                            // first in Landed, if set
	file     *os.File                                      // extents go there, if set
	unsynced bool                                          // of file

	mu     sync.Mutex
	data   []byte
	record map[int64]int // landed extents by offset: how often
	bad    map[transport.Code]int
}

func newStore(size int) *store {
	return &store{data: make([]byte, size), record: map[int64]int{}, bad: map[transport.Code]int{}}
}

func (s *store) Place(ctx context.Context, _ uint64, extents []transport.ExtentHeader) ([]transport.Landing, error) {
	l := make([]transport.Landing, len(extents))
	for i := range extents {
		if s.place != nil {
			if err := s.place(ctx, extents[i].Offset); err != nil {
				return nil, err
			}
		}
		l[i].File, l[i].Unsynced = s.file, s.unsynced
	}
	return l, nil
}

func (s *store) Landed(_ context.Context, _ uint64, arrivals []transport.Arrival) []transport.Verdict {
	v := make([]transport.Verdict, len(arrivals))
	for i := range arrivals {
		a := &arrivals[i]
		if s.landed != nil {
			s.landed(a.Offset)
		}
		v[i] = transport.Verdict{Code: a.Code, Digest: a.Digest, Err: a.Err}
		s.mu.Lock()
		if a.Err != nil {
			s.bad[a.Code]++
		} else {
			s.record[a.Offset]++
			copy(s.data[a.Offset:], a.Mem)
		}
		s.mu.Unlock()
	}
	return v
}

// has tells whether an extent landed.
func (s *store) has(offset int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record[offset] > 0
}

func (s *store) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.record)
}

// content returns n bytes that nothing else has.
func content(n int) []byte {
	b := make([]byte, n)
	_, _ = mrand.NewChaCha8([32]byte{byte(n), byte(n >> 8), 3}).Read(b)
	return b
}

// chunks cuts data into chunks of one extent, without those that landed already.
func chunks(data []byte, landed func(int64) bool) []*transport.Chunk {
	var all []*transport.Chunk
	for off := 0; off < len(data); off += chunkSize {
		n := min(chunkSize, len(data)-off)
		if landed != nil && landed(int64(off)) {
			continue
		}
		e := transport.Extent{
			ExtentHeader: transport.ExtentHeader{Entry: 1, Offset: int64(off), Length: int64(n), Segments: []transport.Range{{Offset: int64(off), Length: int64(n)}}},
			Bodies:       []transport.Body{{Mem: data[off : off+n]}},
		}
		all = append(all, &transport.Chunk{Seq: uint64(len(all)) + 1, Extents: []transport.Extent{e}})
	}
	return all
}

// edge is one attempt of an edge over RDMA.
type edge struct {
	id   transport.Edge
	in   *incoming
	out  *outgoing
	feed *transporttest.Feed
	size int64 // of chunks

	memory    *transport.Memory   // of the target, if set
	sources   []*transport.Memory // of the source
	principal string

	// taps of the control stream, before the first message of a source is sent.
	toTarget, toSource tap
	// asleep is a source whose process stands still: it hears nothing.
	asleep atomic.Bool
}

// tap looks at the nth message of one direction, from 0 on, and may change it.
// An error ends the control stream there, as when its sender dies.
type tap func(n int, msg []byte) ([]byte, error)

type tapped struct {
	transport.Control
	n      int
	tap    tap
	asleep *atomic.Bool
}

func (c *tapped) Receive(ctx context.Context) ([]byte, error) {
	msg, err := c.Control.Receive(ctx)
	if c.asleep != nil && c.asleep.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return msg, err
}

var errCut = errors.New("the process died")

func (c *tapped) Send(ctx context.Context, msg []byte) error {
	if c.tap != nil {
		changed, err := c.tap(c.n, append([]byte(nil), msg...))
		c.n++
		if err != nil {
			_ = c.Close()
			return err
		}
		msg = changed
	}
	return c.Control.Send(ctx, msg)
}

func newEdge() *edge {
	e := &edge{id: transport.Edge{Epoch: 7, Peer: "n2"}, size: chunkSize}
	rand.Read(e.id.UID[:])
	return e
}

func (r *rig) prepare(t *testing.T, e *edge, s transport.Sink) {
	t.Helper()
	in, err := r.dst.Prepare(t.Context(), e.id, s, transport.PrepareOptions{Streams: 4, ChunkSize: e.size, Verify: true, Memory: e.memory, Principal: e.principal})
	if err != nil {
		t.Fatal(err)
	}
	e.in = in.(*incoming)
}

func (r *rig) dial(ctx context.Context, e *edge) error {
	out, err := r.src.Dial(ctx, e.id, e.in.Grant(), transport.DialOptions{
		Streams: 4, ChunkSize: e.size, Verify: true, Control: e.control, Memory: e.sources, Principal: e.principal,
	})
	if err == nil {
		e.out = out.(*outgoing)
	}
	return err
}

func (e *edge) control(context.Context) (transport.Control, error) {
	source, target := transporttest.Controls()
	go func() { _ = e.in.Join(&tapped{Control: target, tap: e.toSource}) }() // Close of the edge waits for it
	return &tapped{Control: source, tap: e.toTarget, asleep: &e.asleep}, nil
}

// connect prepares and dials an edge that has to come up.
func (r *rig) connect(t *testing.T, s transport.Sink) *edge {
	t.Helper()
	e := newEdge()
	r.prepare(t, e, s)
	if err := r.dial(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	return e
}

// start runs the edge with what is missing.
func (e *edge) start(ctx context.Context, data []byte, s *store) <-chan error {
	e.feed = transporttest.NewFeed(chunks(data, s.has)...)
	return e.startFeed(ctx)
}

func (e *edge) startFeed(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	go func() { done <- e.out.Run(ctx, e.feed) }()
	return done
}

// close fences both ends.
func (e *edge) close(t *testing.T) (fence error) {
	t.Helper()
	if e.out != nil {
		if err := e.out.Close(); err != nil {
			t.Errorf("close the source: %v", err)
		}
	}
	return e.in.Close()
}

// finish does what an owner does after a failure: the edge is fenced, the target's
// record says what is missing, and only that goes by the next path, which is no
// RDMA. Then everything has to be there, and nothing can have come twice.
func (e *edge) finish(t *testing.T, data []byte, s *store) (resent int) {
	t.Helper()
	if err := e.close(t); err != nil {
		t.Errorf("the fence: %v", err)
	}
	if e.feed != nil {
		e.feed.Settled(t)
	}
	return other(t, data, s)
}

// other sends what is missing by another path and checks the whole.
func other(t *testing.T, data []byte, s *store) (resent int) {
	t.Helper()
	for _, c := range chunks(data, s.has) {
		x := &c.Extents[0]
		s.Landed(t.Context(), c.Seq, []transport.Arrival{{ExtentHeader: x.ExtentHeader, Code: transport.Placed, Mem: x.Bodies[0].Mem}})
		resent++
	}
	s.check(t, data)
	return resent
}

// check compares what landed with what was sent.
func (s *store) check(t *testing.T, data []byte) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil && !bytes.Equal(s.data, data) {
		t.Error("the bytes at the target are not those of the source")
	}
	for off, n := range s.record {
		if n != 1 {
			t.Errorf("the extent at %d landed %d times", off, n)
		}
	}
}

// reason of a set-up that failed.
func reason(t *testing.T, err error) transport.Reason {
	t.Helper()
	u, ok := errors.AsType[*transport.UnavailableError](err)
	if !ok {
		t.Fatalf("%v, want an error with a reason", err)
	}
	return u.Reason
}
