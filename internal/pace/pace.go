// Package pace holds the streams of one edge to a common rate. They ask before
// each bounded step; nothing is wrapped around a connection, so that copies in
// the kernel stay possible. It knows nothing of what is moved.
package pace

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Bytes that are let through at a time under a limit: a twentieth of a second's
// worth, within bounds that keep system calls few and streams alive.
const (
	minStep = 16 << 10
	maxStep = 1 << 20
)

// Pacer is one limit that several goroutines share.
type Pacer struct {
	mu      sync.Mutex
	limit   int64         // bytes per second; 0: none
	limiter *rate.Limiter // nil when there is no limit
	changed chan struct{} // closed when limit changes

	waited atomic.Int64 // time.Duration
}

// New returns a pacer for bytesPerSecond; 0 is no limit.
func New(bytesPerSecond int64) *Pacer {
	p := &Pacer{changed: make(chan struct{})}
	p.Set(bytesPerSecond)
	return p
}

// Set changes the limit. Streams that wait reckon anew.
func (p *Pacer) Set(bytesPerSecond int64) {
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

func (p *Pacer) now() (limiter *rate.Limiter, limit int64, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limiter, p.limit, p.changed
}

// Step returns the largest number of bytes to move at once.
func (p *Pacer) Step(want int) int {
	if limiter, _, _ := p.now(); limiter != nil {
		return min(want, limiter.Burst())
	}
	return want
}

// Crawls reports whether the limit is so low that a stream that waits within a
// chunk would look stalled to a peer. Such a limit is kept by waiting
// between chunks, where nothing is owed.
func (p *Pacer) Crawls(streams int) bool {
	_, limit, _ := p.now()
	return limit > 0 && limit < int64(streams)*minStep
}

// Wait blocks until n bytes may go.
func (p *Pacer) Wait(ctx context.Context, n int64) error {
	for n > 0 {
		limiter, _, changed := p.now()
		if limiter == nil {
			return nil
		}
		part := min(n, int64(limiter.Burst()))
		r := limiter.ReserveN(time.Now(), int(part))
		if d := r.Delay(); d > 0 {
			start := time.Now()
			t := time.NewTimer(d)
			select {
			case <-t.C:
			case <-changed:
				part = 0 // the reservation goes with the old limiter
			case <-ctx.Done():
				r.Cancel()
			}
			t.Stop()
			p.waited.Add(int64(time.Since(start)))
			if err := ctx.Err(); err != nil && part > 0 {
				return err
			}
		}
		n -= part
	}
	return nil
}

// Waited returns how long the limit held streams back, summed over them.
func (p *Pacer) Waited() time.Duration { return time.Duration(p.waited.Load()) }

// Rate returns the limit in bytes per second; 0 is none.
func (p *Pacer) Rate() int64 {
	_, limit, _ := p.now()
	return limit
}
