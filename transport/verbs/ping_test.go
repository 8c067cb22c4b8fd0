package verbs

import (
	"context"
	"io"
	"runtime"
	"testing"

	"github.com/xferd/xferd/transport"
)

// pings is the feed and the sink of small chunks in place, each when the one before
// is answered.
type pings struct {
	*placed
	chunk *transport.Chunk
	land  []transport.Landing
	said  []transport.Verdict
	left  int
	cold  int // the first steps, that do not count
	next  chan struct{}

	before, then runtime.MemStats
}

func newPings(t *testing.T, p *placed, n, cold int) *pings {
	t.Helper()
	f := &pings{placed: p, chunk: p.chunks(1)[0], left: n, cold: n - cold, next: make(chan struct{}, 1), said: make([]transport.Verdict, 1)}
	f.land = []transport.Landing{{Mem: [][]byte{p.dst.Mem[:len(p.src.Mem)]}}}
	f.next <- struct{}{}
	return f
}

func (f *pings) Next(ctx context.Context, _ int) (*transport.Chunk, error) {
	select {
	case <-f.next:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch f.left {
	case f.cold:
		runtime.ReadMemStats(&f.before)
	case 0:
		runtime.ReadMemStats(&f.then)
	}
	if f.left == 0 {
		f.next <- struct{}{} // for the other streams
		return nil, io.EOF
	}
	f.left--
	return f.chunk, nil
}

func (f *pings) Done(*transport.Chunk, []transport.Verdict) { f.next <- struct{}{} }

func (f *pings) Place(context.Context, uint64, []transport.ExtentHeader) ([]transport.Landing, error) {
	return f.land, nil
}

func (f *pings) Landed(_ context.Context, _ uint64, a []transport.Arrival) []transport.Verdict {
	f.said[0] = transport.Verdict{Code: a[0].Code, Digest: a[0].Digest, Err: a[0].Err}
	return f.said
}

// TestNoAllocationPerStep: a program that sends the same 4 KiB every step, over a
// session that stays. No end allocates anything for a step.
func TestNoAllocationPerStep(t *testing.T) {
	const warm, steps = 200, 2000
	r := newRig(t, setup{hidden: true})
	defer r.close(t)
	p := newPlaced(t, 4096, transport.Range{Length: 4096})
	e := p.edge()
	f := newPings(t, p, warm+steps, warm)
	r.prepare(t, e, f)
	out, err := r.src.Dial(t.Context(), e.id, e.in.Grant(), transport.DialOptions{
		Streams: 4, ChunkSize: e.size, Verify: true, Memory: e.sources,
		Control: func(context.Context) (transport.Control, error) {
			source, target := pipes()
			go func() { _ = e.in.Join(target) }()
			return source, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Run(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if err := e.in.Close(); err != nil {
		t.Error(err)
	}
	p.layout.Check(t, p.dst.Mem, p.src.Mem)
	if n := e.in.Stats().Chunks; n != warm+steps {
		t.Errorf("%d steps of %d landed", n, warm+steps)
	}
	per := float64(f.then.Mallocs-f.before.Mallocs) / steps
	t.Logf("%.3f allocations for each of %d steps", per, steps)
	if per > 0.1 { // the runtime's own
		t.Errorf("%.2f allocations for each step", per)
	}
}
