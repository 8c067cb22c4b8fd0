// Package bufpool lends out buffers that live outside the Go heap, under one
// budget in bytes for the whole daemon. A buffer is a slab from mmap(2) in a
// power-of-two size class; slabs are used again while there is traffic and go
// back to the kernel soon after it ends.
//
// It knows nothing of who uses a buffer for what, and it is not a cache: what a
// buffer holds when it is got is undefined.
package bufpool

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	minClass = 64 << 10
	maxClass = 64 << 20
	classes  = 11 // 64 KiB, 128 KiB .. 64 MiB
	odd      = -1 // class of a slab that no class fits; never used again

	trimEvery = 5 * time.Second
)

// ErrClosed is the answer of a pool that was closed.
var ErrClosed = errors.New("buffer pool is closed")

// Pool lends buffers. It is safe for concurrent use.
type Pool struct {
	budget  int64
	reserve int64

	mu      sync.Mutex
	closed  bool
	inUse   int64 // bytes lent
	idle    int64 // bytes of slabs on the free lists
	leases  int
	free    [classes][]*Buffer
	low     [classes]int // fewest idle slabs since the last trim
	waiters list.List    // of *waiter, oldest first
	trim    *time.Timer  // nil while nothing is idle
}

type waiter struct {
	size  int
	ready chan struct{} // closed when buf or err is set
	buf   *Buffer
	err   error
}

// New returns a pool that never lends more than budget bytes at a time. Idle
// slabs are part of the budget, so mapped memory stays below it too.
func New(budget int64) *Pool {
	return &Pool{budget: budget, reserve: min(budget/8, 8<<20)}
}

// Budget returns the limit in bytes that New was given.
func (p *Pool) Budget() int64 { return p.budget }

// Get lends a buffer of size bytes. It blocks while the budget is used up, in
// the order of the callers, until ctx ends. The caller owns one reference.
//
// A caller that holds buffers while it waits for more can block itself and
// others for good when the budget is small; take what a step needs in one
// buffer.
func (p *Pool) Get(ctx context.Context, size int) (*Buffer, error) {
	if err := p.check(size); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, ErrClosed
	}
	if p.waiters.Len() == 0 && p.fits(size) {
		b, err := p.take(size)
		p.mu.Unlock()
		return b, err
	}
	w := &waiter{size: size, ready: make(chan struct{})}
	e := p.waiters.PushBack(w)
	p.mu.Unlock()

	select {
	case <-w.ready:
		return w.buf, w.err
	case <-ctx.Done():
	}
	p.mu.Lock()
	select {
	case <-w.ready: // served in the same moment: give it back
		p.mu.Unlock()
		if w.buf != nil {
			w.buf.Release()
		}
	default:
		p.waiters.Remove(e)
		p.serve() // it may have been the one that held up smaller ones
		p.mu.Unlock()
	}
	return nil, ctx.Err()
}

// TryGet is Get without waiting: false when the budget is used up, when others
// wait already, or when the size can never be lent.
func (p *Pool) TryGet(size int) (*Buffer, bool) {
	if p.check(size) != nil {
		return nil, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.waiters.Len() > 0 || !p.fits(size) {
		return nil, false
	}
	b, err := p.take(size)
	return b, err == nil
}

// InUse returns the bytes lent out now, counted in whole slabs.
func (p *Pool) InUse() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inUse
}

// Close refuses further leases, fails those who wait, and unmaps what is idle.
// It returns an error when leases are out; their slabs are unmapped when they
// come back.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		for e := p.waiters.Front(); e != nil; e = p.waiters.Front() {
			w := p.waiters.Remove(e).(*waiter)
			w.err = ErrClosed
			close(w.ready)
		}
		if p.trim != nil {
			p.trim.Stop()
			p.trim = nil
		}
		for c := range p.free {
			p.drop(c, len(p.free[c]))
		}
	}
	if p.leases > 0 {
		return fmt.Errorf("buffer pool closed with %d leases of %d bytes out", p.leases, p.inUse)
	}
	return nil
}

func (p *Pool) check(size int) error {
	if size <= 0 {
		return fmt.Errorf("buffer of %d bytes asked for", size)
	}
	if int64(size) > p.budget {
		return fmt.Errorf("buffer of %d bytes is larger than the whole budget of %d", size, p.budget)
	}
	return nil
}

// class returns the size class of a buffer and what it costs.
func (p *Pool) class(size int) (class int, cost int64) {
	if size <= minClass {
		class, cost = 0, minClass
	} else {
		shift := bits.Len(uint(size - 1))
		class, cost = shift-16, int64(1)<<shift
	}
	if size > maxClass || cost > p.budget {
		return odd, int64(size)
	}
	return class, cost
}

func (p *Pool) fits(size int) bool {
	_, cost := p.class(size)
	return p.inUse+cost <= p.budget
}

// take lends a slab that fits. It unmaps idle slabs of other classes where the
// budget has no room for a new one beside them. Called with mu held.
func (p *Pool) take(size int) (*Buffer, error) {
	class, cost := p.class(size)
	var b *Buffer
	if class != odd && len(p.free[class]) > 0 {
		last := len(p.free[class]) - 1
		b = p.free[class][last]
		p.free[class][last] = nil
		p.free[class] = p.free[class][:last]
		p.low[class] = min(p.low[class], last)
		p.idle -= cost
		b = fresh(b)
	} else {
		for c := classes - 1; c >= 0 && p.inUse+p.idle+cost > p.budget; c-- {
			for len(p.free[c]) > 0 && p.inUse+p.idle+cost > p.budget {
				p.drop(c, 1)
			}
		}
		slab, err := mapSlab(int(cost))
		if err != nil {
			return nil, err
		}
		b = &Buffer{pool: p, slab: slab, class: class}
	}
	b.size = size
	b.refs.Store(1)
	p.inUse += cost
	p.leases++
	return b, nil
}

// put takes a slab back and serves those who wait.
func (p *Pool) put(b *Buffer) {
	poison(b.slab)
	p.mu.Lock()
	defer p.mu.Unlock()
	_, cost := p.class(b.size)
	p.inUse -= cost
	p.leases--
	if p.closed || b.class == odd {
		unmapSlab(b.slab)
	} else {
		p.free[b.class] = append(p.free[b.class], b)
		p.idle += cost
		if p.trim == nil {
			p.low = [classes]int{}
			p.trim = time.AfterFunc(trimEvery, p.trimIdle)
		}
	}
	p.serve()
}

// serve hands out buffers to waiters in order, as far as the budget goes.
func (p *Pool) serve() {
	for e := p.waiters.Front(); e != nil && !p.closed; e = p.waiters.Front() {
		w := e.Value.(*waiter)
		if !p.fits(w.size) {
			return
		}
		p.waiters.Remove(e)
		w.buf, w.err = p.take(w.size)
		close(w.ready)
	}
}

// trimIdle unmaps the slabs that nobody needed since it last ran, down to the
// reserve. Slabs in steady use stay mapped: faulting pages in anew costs more
// than copying into them.
func (p *Pool) trimIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	for c := classes - 1; c >= 0; c-- {
		for n := p.low[c]; n > 0 && p.idle > p.reserve; n-- {
			p.drop(c, 1)
		}
		p.low[c] = len(p.free[c])
	}
	if p.idle > p.reserve {
		p.trim.Reset(trimEvery)
		return
	}
	p.trim = nil
}

// drop unmaps n idle slabs of class c, those used longest ago. Called with mu
// held.
func (p *Pool) drop(c, n int) {
	if n == 0 {
		return
	}
	for _, b := range p.free[c][:n] {
		p.idle -= int64(len(b.slab))
		unmapSlab(b.slab)
		b.slab = nil
	}
	left := copy(p.free[c], p.free[c][n:])
	clear(p.free[c][left:])
	p.free[c] = p.free[c][:left]
	p.low[c] = min(p.low[c], left)
}

func mapSlab(size int) ([]byte, error) {
	slab, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("map a buffer of %d bytes: %w", size, err)
	}
	if size >= 2<<20 {
		// Fewer page faults; kernels without transparent huge pages refuse.
		_ = unix.Madvise(slab, unix.MADV_HUGEPAGE)
	}
	return slab, nil
}

func unmapSlab(slab []byte) {
	if err := unix.Munmap(slab); err != nil {
		// Only a slab that is not ours or was unmapped before can fail.
		panic(fmt.Sprintf("bufpool: unmap: %v", err))
	}
}
