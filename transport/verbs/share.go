package verbs

import (
	"container/list"
	"context"
	"fmt"
	"math/bits"
	"sync"

	"github.com/xferd/xferd/internal/bufpool"
)

// buffers are a pool, and how much of it sessions may hold for as long as they
// last. The rest is for those who need a buffer for a moment, such as the feeds
// of the same sessions: what waits for a session must not be what it waits for.
type buffers struct {
	pool *bufpool.Pool

	mu      sync.Mutex
	total   int64
	left    int64
	waiting list.List // of *claim, oldest first
}

type claim struct {
	n     int64
	ready chan struct{}
}

func newBuffers(p *bufpool.Pool) *buffers {
	half := p.Budget() / 2
	return &buffers{pool: p, total: half, left: half}
}

// slabCost is what n bytes take of a pool, whose slabs are powers of two.
func slabCost(n int64) int64 {
	return max(cellSize, int64(1)<<bits.Len64(uint64(n-1)))
}

// slots returns how many slots of a chunk each a session may ask for, at least
// one and at most most: they take no more than half of what all sessions have, and
// their cells no more than a quarter.
func (b *buffers) slots(chunk int64, most int) int {
	n := most
	for n > 1 && (int64(n)*slabCost(chunk) > b.total/2 || slabCost(int64(n)*cellSize) > b.total/4) {
		n--
	}
	return n
}

// acquire waits for n bytes, in the order of the callers.
func (b *buffers) acquire(ctx context.Context, n int64) error {
	b.mu.Lock()
	if n > b.total {
		b.mu.Unlock()
		return fmt.Errorf("%w: %d bytes of the %d that RDMA may use", errNoBuffer, n, b.total)
	}
	if b.waiting.Len() == 0 && n <= b.left {
		b.left -= n
		b.mu.Unlock()
		return nil
	}
	c := &claim{n, make(chan struct{})}
	e := b.waiting.PushBack(c)
	b.mu.Unlock()
	select {
	case <-c.ready:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-c.ready: // served in the same moment: give it back
		b.left += n
	default:
		b.waiting.Remove(e)
	}
	b.serve() // it may have held up smaller ones
	return fmt.Errorf("%w: %w", errNoBuffer, context.Cause(ctx))
}

// extra takes at most most times n bytes without waiting, and at most half of
// what is left, so that the next session gets on too. It returns how many times.
func (b *buffers) extra(n int64, most int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting.Len() > 0 || most <= 0 {
		return 0
	}
	got := min(int64(most), b.left/2/n)
	b.left -= got * n
	return int(got)
}

func (b *buffers) release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left += n
	b.serve()
}

// serve lets those go on for whom there is enough. Called with mu held.
func (b *buffers) serve() {
	for e := b.waiting.Front(); e != nil; e = b.waiting.Front() {
		c := e.Value.(*claim)
		if c.n > b.left {
			return
		}
		b.left -= c.n
		b.waiting.Remove(e)
		close(c.ready)
	}
}
