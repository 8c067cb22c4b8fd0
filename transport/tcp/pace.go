package tcp

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Bytes that are let through at a time under a limit: a twentieth of a second's
// worth, within bounds that keep system calls few and streams alive.
const (
	minStep = 16 << 10
	maxStep = 1 << 20
)

// pacer holds the streams of an edge to a common rate. The streams ask before
// each bounded step; nothing wraps the connection, so sendfile stays possible.
type pacer struct {
	mu      sync.Mutex
	limit   int64         // bytes per second; 0: none
	limiter *rate.Limiter // nil when there is no limit
	changed chan struct{} // closed when limit changes
}

func newPacer(bytesPerSecond int64) *pacer {
	p := &pacer{changed: make(chan struct{})}
	p.set(bytesPerSecond)
	return p
}

// set changes the limit. Streams that wait reckon anew.
func (p *pacer) set(bytesPerSecond int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit, p.limiter = max(bytesPerSecond, 0), nil
	if p.limit > 0 {
		p.limiter = rate.NewLimiter(rate.Limit(p.limit), stepFor(p.limit))
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

func stepFor(limit int64) int { return int(min(max(limit/20, minStep), maxStep)) }

func (p *pacer) now() (limiter *rate.Limiter, limit int64, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limiter, p.limit, p.changed
}

// step returns the largest number of bytes to move at once.
func (p *pacer) step(want int) int {
	if limiter, _, _ := p.now(); limiter != nil {
		return min(want, limiter.Burst())
	}
	return want
}

// crawls reports whether the limit is so low that a stream that waits within a
// chunk would look stalled to the target. Such a limit is kept by waiting
// between chunks, where nothing is owed.
func (p *pacer) crawls(streams int) bool {
	_, limit, _ := p.now()
	return limit > 0 && limit < int64(streams)*minStep
}

// wait blocks until n bytes may go.
func (p *pacer) wait(ctx context.Context, n int64) error {
	for n > 0 {
		limiter, _, changed := p.now()
		if limiter == nil {
			return nil
		}
		part := min(n, int64(limiter.Burst()))
		r := limiter.ReserveN(time.Now(), int(part))
		if d := r.Delay(); d > 0 {
			t := time.NewTimer(d)
			select {
			case <-t.C:
			case <-changed:
				t.Stop()
				continue // the reservation goes with the old limiter
			case <-ctx.Done():
				t.Stop()
				r.Cancel()
				return ctx.Err()
			}
		}
		n -= part
	}
	return nil
}

// rate returns the limit in bytes per second; 0 is none.
func (p *pacer) rate() int64 {
	_, limit, _ := p.now()
	return limit
}
