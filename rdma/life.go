package rdma

import (
	"fmt"
	"slices"
	"sync"
)

// life guards one object of a driver: against use after Close, Close with
// children, and Close while a call is under way. Every object embeds one.
type life struct {
	sys     *System
	kind    string
	parents []*life

	mu     sync.RWMutex // held for reading by every call that is under way
	closed bool

	children int // guarded by sys.mu, as is who is in sys.live
}

// born registers an object below its parents, which must not be closed. It is
// called with the parents' use held.
func (l *life) born(sys *System, kind string, parents ...*life) {
	l.sys, l.kind, l.parents = sys, kind, parents
	sys.mu.Lock()
	defer sys.mu.Unlock()
	sys.live[l] = struct{}{}
	for _, p := range parents {
		p.children++
	}
}

// enter keeps the object from being closed until leave is called.
func (l *life) enter() error {
	l.mu.RLock()
	if l.closed {
		l.mu.RUnlock()
		return fmt.Errorf("%w: %s", ErrClosed, l.kind)
	}
	return nil
}

func (l *life) leave() { l.mu.RUnlock() }

// end closes the object once by destroy, unless it has children. An error of
// destroy leaves it open: the kernel may still use it.
func (l *life) end(destroy func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.sys.mu.Lock()
	n := l.children
	l.sys.mu.Unlock()
	if n > 0 {
		return fmt.Errorf("%w: %s has %d objects", ErrBusy, l.kind, n)
	}
	if err := destroy(); err != nil {
		return err
	}
	l.closed = true
	l.sys.mu.Lock()
	defer l.sys.mu.Unlock()
	delete(l.sys.live, l)
	for _, p := range l.parents {
		p.children--
	}
	return nil
}

// Live lists what is open, by kind, sorted. For tests and diagnostics.
func (s *System) Live() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	kinds := make([]string, 0, len(s.live))
	for l := range s.live {
		kinds = append(kinds, l.kind)
	}
	slices.Sort(kinds)
	return kinds
}
