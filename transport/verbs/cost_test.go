package verbs

import (
	"context"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xferd/xferd/transport"
)

// quiet is feed, sink and both ends of a control stream that allocate nothing.
type quiet struct {
	mu           sync.Mutex
	chunks       []*transport.Chunk // that are not out
	left         int
	first, last  int // of left: between them is what is measured
	before, then runtime.MemStats

	landings []transport.Landing
	verdicts []transport.Verdict
}

func newQuiet(data []byte, n, warm int) *quiet {
	return &quiet{
		chunks: chunks(data, nil), left: n, first: n - warm, last: warm,
		landings: make([]transport.Landing, 1), verdicts: []transport.Verdict{{Code: transport.Placed}},
	}
}

func (q *quiet) Next(context.Context, int) (*transport.Chunk, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.left == 0 {
		return nil, io.EOF
	}
	switch q.left--; q.left {
	case q.first:
		runtime.ReadMemStats(&q.before)
	case q.last:
		runtime.ReadMemStats(&q.then)
	}
	n := len(q.chunks) - 1
	c := q.chunks[n]
	q.chunks = q.chunks[:n]
	return c, nil
}

func (q *quiet) Done(c *transport.Chunk, _ []transport.Verdict) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.chunks = append(q.chunks, c)
}

func (q *quiet) Place(context.Context, uint64, []transport.ExtentHeader) ([]transport.Landing, error) {
	return q.landings, nil
}

func (q *quiet) Landed(context.Context, uint64, []transport.Arrival) []transport.Verdict {
	return q.verdicts
}

// pipe is a control stream whose messages are in buffers that are used again: one
// holds until the next is received.
type pipe struct {
	out, in     chan []byte
	free, spare chan []byte // buffers for out, and those of in
	last        []byte
	over        chan struct{}
	once        *sync.Once
}

func pipes() (a, b *pipe) {
	x, y, over, once := make(chan []byte, 64), make(chan []byte, 64), make(chan struct{}), new(sync.Once)
	fx, fy := make(chan []byte, 66), make(chan []byte, 66)
	for range 66 {
		fx <- make([]byte, 0, 4096)
		fy <- make([]byte, 0, 4096)
	}
	return &pipe{out: x, in: y, free: fx, spare: fy, over: over, once: once}, &pipe{out: y, in: x, free: fy, spare: fx, over: over, once: once}
}

func (p *pipe) Send(ctx context.Context, msg []byte) error {
	select {
	case b := <-p.free:
		p.out <- append(b[:0], msg...)
		return nil
	case <-p.over:
		return io.ErrClosedPipe
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pipe) Receive(ctx context.Context) ([]byte, error) {
	if p.last != nil {
		p.spare <- p.last
		p.last = nil
	}
	select {
	case p.last = <-p.in:
		return p.last, nil
	default:
	}
	select {
	case p.last = <-p.in:
		return p.last, nil
	case <-p.over:
		return nil, io.EOF
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipe) Close() error {
	p.once.Do(func() { close(p.over) })
	return nil
}

// TestNoAllocationPerChunk moves chunks over the fabric and counts what both ends
// allocate.
func TestNoAllocationPerChunk(t *testing.T) {
	const n, warm = 2400, 400
	r := newRig(t, setup{hidden: true})
	defer r.close(t)
	q := newQuiet(content(64*chunkSize), n, warm)
	e := newEdge()
	r.prepare(t, e, q)
	out, err := r.src.Dial(t.Context(), e.id, e.in.Grant(), transport.DialOptions{Streams: 4, ChunkSize: chunkSize, Verify: true,
		Control: func(context.Context) (transport.Control, error) {
			source, target := pipes()
			go func() { _ = e.in.Join(target) }()
			return source, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Run(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if err := e.in.Close(); err != nil {
		t.Error(err)
	}
	per := float64(q.then.Mallocs-q.before.Mallocs) / (n - 2*warm)
	t.Logf("%.3f allocations for each of %d chunks", per, n-2*warm)
	if per > 0.1 { // the runtime's own, and messages that find a longer batch
		t.Errorf("%.2f allocations for each chunk", per)
	}
}

// TestIdleSessionIsIdle lets a session that moved something do nothing for an
// hour: nobody looks for completions, and no message is sent.
func TestIdleSessionIsIdle(t *testing.T) {
	inBubble(t, setup{}, func(t *testing.T, r *rig) {
		s, data := newStore(size), content(size)
		e := newEdge()
		var messages atomic.Int64
		e.toSource = func(_ int, msg []byte) ([]byte, error) { messages.Add(1); return msg, nil }
		r.prepare(t, e, s)
		if err := r.dial(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		f := &openFeed{chunks: chunks(data, nil)}
		over := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { over <- e.out.Run(ctx, f) }()
		time.Sleep(5 * time.Minute) // what was begun is over
		if n := s.count(); n != 31 {
			t.Errorf("%d chunks landed", n)
		}
		polls, said := r.src.audit.polls.Load()+r.dst.audit.polls.Load(), messages.Load()
		time.Sleep(time.Hour)
		if n := r.src.audit.polls.Load() + r.dst.audit.polls.Load() - polls; n != 0 {
			t.Errorf("an idle session looked for completions %d times", n)
		}
		if n := messages.Load() - said; n != 0 {
			t.Errorf("%d messages of an idle session", n)
		}
		cancel()
		<-over
		e.feed = nil
		e.finish(t, data, s)
	})
}

// openFeed has some chunks, and then none, without an end.
type openFeed struct {
	idleFeed
	mu     sync.Mutex
	chunks []*transport.Chunk
}

func (f *openFeed) Next(ctx context.Context, i int) (*transport.Chunk, error) {
	f.mu.Lock()
	if len(f.chunks) == 0 {
		f.mu.Unlock()
		return f.idleFeed.Next(ctx, i)
	}
	defer f.mu.Unlock()
	c := f.chunks[0]
	f.chunks = f.chunks[1:]
	return c, nil
}
