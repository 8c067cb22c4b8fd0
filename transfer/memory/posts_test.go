package memory_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/sender"
	"github.com/xferd/xferd/transport"
)

// poster is a prepared edge that runs, and who posts on it.
type poster struct {
	t       *testing.T
	r       *rig
	e       *sender.Edge
	results chan transfer.Result
	ready   chan string
	stop    func() error // ends the edge, once; its error
}

type postObserver struct {
	observer
	results chan transfer.Result
	ready   chan string
}

func (o *postObserver) Result(r transfer.Result) { o.results <- r }
func (o *postObserver) Ready(transport string) {
	select {
	case o.ready <- transport:
	default:
	}
}

// poster runs a prepared transfer of pieces of n1 to @d until it is stopped.
func (r *rig) poster(pieces ...transfer.Piece) *poster {
	s := spec("@d", pieces...)
	s.Prepared = true
	a := r.attempt(r.job(s))
	p := &poster{t: r.t, r: r, results: make(chan transfer.Result, 4), ready: make(chan string, 1)}
	p.e = sender.New(r.config(), a.job, a.owner, &postObserver{results: p.results, ready: p.ready})
	ran := make(chan error, 1)
	r.wg.Go(func() {
		_, err := p.e.Run(r.ctx)
		close(p.results)
		close(p.ready)
		_ = a.owner.Close()
		<-a.served
		ran <- err
	})
	p.stop = sync.OnceValue(func() error { return <-ran })
	r.t.Cleanup(func() { // before the rig closes
		p.e.Stop(transfer.EndCancel)
		_ = p.stop()
	})
	return p
}

// post posts, and returns what became of it.
func (p *poster) post() transfer.Result {
	p.t.Helper()
	p.e.Post()
	return p.result()
}

func (p *poster) result() transfer.Result {
	p.t.Helper()
	r, ok := <-p.results
	if !ok {
		p.t.Fatalf("the edge is over: %v", p.stop())
	}
	if r.Outcome == transfer.OutcomePublished {
		return r
	}
	return transfer.Result{Entry: r.Entry, Outcome: r.Outcome, Err: r.Err}
}

// step writes the bytes of a step to @a of the source.
func (p *poster) step(n uint64) {
	p.r.look(p.r.src, "a", func(mem []byte) {
		for at := 0; at+8 <= len(mem); at += 64 << 10 {
			binary.LittleEndian.PutUint64(mem[at:], n)
		}
	})
}

// Each post brings the bytes as they are then, all of them, and the generation rises
// by one. The edge goes to its end when it is asked to.
func TestPosts(t *testing.T) {
	for name, pieces := range map[string][]transfer.Piece{
		"a page":               {{Path: "@a", Length: 4096}},
		"many extents":         {{Path: "@a", Length: -1}},
		"many pieces":          columns(2000, 1500),
		"more than one source": {{Path: "@a", Length: 2*mib + 1, DestOffset: 4096}, {Path: "@b", Offset: 3, Length: mib, DestOffset: 4 * mib}},
	} {
		t.Run(name, func(t *testing.T) {
			const size = 5*mib + 4096
			r := newRig(t)
			r.create(r.src, "a", pattern(size, 1))
			r.create(r.src, "b", pattern(size, 9))
			r.create(r.dst, "d", make([]byte, 2*size))
			before := r.info(r.dst, "d").Generation
			p := r.poster(pieces...)
			<-p.ready
			s := spec("@d", pieces...)
			want := make([]byte, 2*size)
			for n := range uint64(20) {
				p.step(n)
				_, total := content(t, r, &s, want)
				res := p.post()
				if res.Outcome != transfer.OutcomePublished || res.Entry != n || res.Generation != before+n+1 || res.Bytes != total || res.Digest.IsZero() {
					t.Fatalf("post %d: %+v", n, res)
				}
				r.look(r.dst, "d", func(mem []byte) {
					if !bytes.Equal(mem, want) {
						t.Fatalf("post %d: the region differs at %d", n, difference(mem, want))
					}
				})
			}
			p.e.EndPosts()
			if err := p.stop(); err != nil {
				t.Error(err)
			}
			if info := r.info(r.dst, "d"); info.OpenWrites != 0 || len(info.Torn) != 0 {
				t.Errorf("%+v", info)
			}
		})
	}
}

// fickle is a transport whose data planes break, or fail chunks, as a test wants.
type fickle struct {
	transport.Dialer
	// chunk is asked for each chunk that is on its way; what it returns is told
	// instead of sending it, and the error ends the data plane.
	chunk func(c *transport.Chunk) (transport.Code, error)
	out   chan transport.Outgoing // the newest, where somebody looks
	mu    sync.Mutex              // held while chunk is called
}

func (f *fickle) Dial(ctx context.Context, e transport.Edge, g transport.Grant, o transport.DialOptions) (transport.Outgoing, error) {
	out, err := f.Dialer.Dial(ctx, e, g, o)
	if err != nil {
		return nil, err
	}
	select {
	case f.out <- out:
	default:
	}
	return &fickleOut{Outgoing: out, f: f}, nil
}

type fickleOut struct {
	transport.Outgoing
	f *fickle
}

func (o *fickleOut) Run(ctx context.Context, feed transport.Feed) error {
	return o.Outgoing.Run(ctx, &fickleFeed{Feed: feed, f: o.f})
}

type fickleFeed struct {
	transport.Feed
	f *fickle
}

func (f *fickleFeed) Next(ctx context.Context, stream int) (*transport.Chunk, error) {
	for {
		c, err := f.Feed.Next(ctx, stream)
		if err != nil || f.f.chunk == nil {
			return c, err
		}
		f.f.mu.Lock()
		code, end := f.f.chunk(c)
		f.f.mu.Unlock()
		if code == transport.Placed {
			return c, nil
		}
		f.Done(c, []transport.Verdict{{Code: code}})
		if end != nil {
			return nil, end
		}
	}
}

var errBroke = errors.New("the data plane broke")

// A post whose data plane breaks, before, within or after its bytes, goes on by the
// next one with what has not landed, and is committed once.
func TestPostsOverDataPlanesThatBreak(t *testing.T) {
	const size = 6 * mib
	r := newRig(t)
	f := &fickle{Dialer: r.tcp, out: make(chan transport.Outgoing, 1)}
	r.dialer = f
	rng := rand.New(rand.NewPCG(7, 7))
	f.chunk = func(*transport.Chunk) (transport.Code, error) {
		if rng.IntN(12) == 0 {
			return transport.Unknown, errBroke
		}
		return transport.Placed, nil
	}
	r.create(r.src, "a", pattern(size, 1))
	r.create(r.dst, "d", make([]byte, size))
	before := r.info(r.dst, "d").Generation
	p := r.poster(transfer.Piece{Path: "@a", Length: -1})
	for n := range uint64(30) {
		p.step(n)
		p.e.Post()
		if n%3 == 0 {
			select { // cut the connections at any moment
			case out := <-f.out:
				_ = out.Close()
			default:
			}
		}
		if res := p.result(); res.Outcome != transfer.OutcomePublished || res.Entry != n || res.Generation != before+n+1 {
			t.Fatalf("post %d: %+v", n, res)
		}
		r.look(r.src, "a", func(want []byte) {
			r.look(r.dst, "d", func(mem []byte) {
				if !bytes.Equal(mem, want) {
					t.Fatalf("post %d: the region differs at %d", n, difference(mem, want))
				}
			})
		})
	}
}

// A post that cannot be read fails alone; one that arrives with other bytes goes again.
func TestPostsThatFail(t *testing.T) {
	r := newRig(t)
	f := &fickle{Dialer: r.tcp}
	r.dialer = f
	var left int
	code := transport.Placed
	fail := func(c transport.Code, n int) {
		f.mu.Lock()
		defer f.mu.Unlock()
		code, left = c, n
	}
	f.chunk = func(c *transport.Chunk) (transport.Code, error) {
		if left == 0 || c.Extents[0].Offset == 0 {
			return transport.Placed, nil
		}
		left--
		return code, nil
	}
	r.create(r.src, "a", pattern(half, 1))
	r.create(r.dst, "d", make([]byte, half))
	p := r.poster(transfer.Piece{Path: "@a", Length: -1})
	<-p.ready
	before := r.info(r.dst, "d").Generation
	fail(transport.SourceFailed, 100)
	if res := p.post(); res.Outcome != transfer.OutcomeFailed || res.Err.Reason != transfer.SourceIOError {
		t.Errorf("%+v", res)
	}
	if info := r.info(r.dst, "d"); info.Generation != before {
		t.Errorf("%+v", info)
	}
	fail(transport.Mismatch, 1)
	if res := p.post(); res.Outcome != transfer.OutcomePublished || res.Entry != 1 {
		t.Errorf("%+v", res)
	}
	fail(transport.SourceFailed, 1)
	if res := p.post(); res.Outcome != transfer.OutcomePublished || res.Entry != 2 || res.Generation != before+2 {
		t.Errorf("%+v", res)
	}
	for n := range uint64(8) { // each post may have some
		fail(transport.Mismatch, 2)
		if res := p.post(); res.Outcome != transfer.OutcomePublished || res.Entry != 3+n {
			t.Errorf("%+v", res)
		}
	}
	p.e.EndPosts()
	if err := p.stop(); err != nil {
		t.Error(err)
	}
}

// Posts cost nothing that stays: neither memory nor descriptors nor goroutines.
func TestManyPosts(t *testing.T) {
	posts := 100_000
	if testing.Short() || raceEnabled {
		posts = 1_000
	}
	r := newRig(t)
	r.create(r.src, "a", pattern(4096, 1))
	r.create(r.dst, "d", make([]byte, 4096))
	p := r.poster(transfer.Piece{Path: "@a", Length: -1})
	var first state
	for n := range posts {
		if res := p.post(); res.Outcome != transfer.OutcomePublished {
			t.Fatalf("post %d: %+v", n, res)
		}
		if n == posts/10 {
			first = look(t)
		}
	}
	last := look(t)
	if last.goroutines > first.goroutines || last.files > first.files || last.heap > first.heap+1<<20 {
		t.Errorf("after a tenth of the posts %+v, after all %+v", first, last)
	}
}

type state struct {
	heap              uint64
	goroutines, files int
}

func look(t *testing.T) state {
	t.Helper()
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return state{heap: m.HeapAlloc, goroutines: runtime.NumGoroutine(), files: len(fds)}
}
