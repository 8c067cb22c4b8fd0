package verbs

import (
	"errors"
	"fmt"
	"maps"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/transport"
)

// errPinned: no more memory of programs may be pinned.
var errPinned = errors.New("the budget for pinned memory is used up")

// Pinned is how much memory of programs is registered with devices, in bytes, in
// each protection domain once more. That of buffers is not in it.
type Pinned struct {
	Bytes, Most int64            // of all
	Each        int64            // the most of one principal
	Principals  map[string]int64 // those that have some
}

// pinned is the account of it.
type pinned struct {
	most, each int64

	mu  sync.Mutex
	sum int64
	by  map[string]int64
}

// take counts n bytes for a principal, if there is room.
func (p *pinned) take(principal string, n int64) error {
	if n == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if n > p.most-p.sum {
		return fmt.Errorf("%w: %d bytes are pinned, at most %d may be, %d are asked for", errPinned, p.sum, p.most, n)
	}
	if has := p.by[principal]; n > p.each-has {
		return fmt.Errorf("%w: %d bytes are pinned for %q, at most %d may be, %d are asked for", errPinned, has, principal, p.each, n)
	}
	if p.by == nil {
		p.by = map[string]int64{}
	}
	p.sum += n
	p.by[principal] += n
	return nil
}

func (p *pinned) give(principal string, n int64) {
	if n == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sum -= n
	if p.by[principal] -= n; p.by[principal] == 0 {
		delete(p.by, principal)
	}
}

// Pinned returns what is pinned now. What is in quarantine counts.
func (t *Transport) Pinned() Pinned {
	p := &t.pinned
	p.mu.Lock()
	defer p.mu.Unlock()
	return Pinned{Bytes: p.sum, Most: p.most, Each: p.each, Principals: maps.Clone(p.by)}
}

// pin counts memory of a program that the session registers, until it is taken
// apart.
func (s *session) pin(m *transport.Memory, n int64) error {
	if err := s.t.pinned.take(s.principal, n); err != nil {
		return err
	}
	s.pinned += n
	if m.Pinned != nil {
		m.Pinned(n)
		s.unpin = append(s.unpin, func() { m.Pinned(-n) })
	}
	return nil
}

// unpinAll undoes pin: no device has the memory any more.
func (s *session) unpinAll() {
	s.t.pinned.give(s.principal, s.pinned)
	s.pinned = 0
	for _, f := range s.unpin {
		f()
	}
	s.unpin = nil
}

// mostPinned is the limit where none was given: three quarters of the memory of the
// machine.
func mostPinned() int64 {
	var i unix.Sysinfo_t
	if err := unix.Sysinfo(&i); err != nil {
		return 1 << 40
	}
	return int64(uint64(i.Totalram) * uint64(i.Unit) / 4 * 3)
}
