package verbs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/transport"
)

// session is what both ends of an edge have: memory, domains in which it is
// registered, and goroutines that watch them.
type session struct {
	t       *Transport
	side    side
	peer    string // node
	from    *buffers
	unit    int64        // of from, for each slot beyond the first
	held    atomic.Int64 // of from
	slabs   []*slab
	domains []*domain

	principal string // for whom memory is pinned
	pinned    int64  // bytes of it
	unpin     []func()

	lost func(error) // breaks the session

	calls sync.WaitGroup // verbs that are under way; see do
	stuck bool           // one of them was not waited for

	up       bool // it came up
	watched  bool // the goroutines run
	watching context.Context
	unwatch  context.CancelFunc
	watchers sync.WaitGroup
}

// slab is leased memory, with its region in each domain once it is registered.
type slab struct {
	buf     *bufpool.Buffer
	regions []*rdma.MemoryRegion
}

func newSession(t *Transport, side side, peer, principal string, chunk int64, lost func(error)) *session {
	from := t.send
	if side == asTarget {
		from = t.recv
	}
	s := &session{t: t, side: side, peer: peer, principal: principal, from: from, unit: slabCost(chunk), lost: lost}
	s.watching, s.unwatch = context.WithCancel(context.Background())
	return s
}

// errNoBuffer: there is no memory for a session.
var errNoBuffer = errors.New("the buffer memory is used up")

// first waits for the memory that a session cannot do without: cells, and that of
// one slot, where chunk is not 0. It is called before the session has anything that
// others wait for.
func (s *session) first(ctx context.Context, chunk, cells int) (slot, cell *slab, err error) {
	cost := slabCost(int64(cells))
	if chunk > 0 {
		cost += s.unit
	}
	if err := s.from.acquire(ctx, cost); err != nil {
		return nil, nil, err
	}
	s.held.Add(cost)
	get := func(size int) (*slab, error) {
		b, err := s.from.pool.Get(ctx, size)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNoBuffer, err)
		}
		sl := &slab{buf: b}
		s.slabs = append(s.slabs, sl)
		return sl, nil
	}
	if chunk > 0 {
		if slot, err = get(chunk); err != nil {
			return nil, nil, err
		}
	}
	cell, err = get(cells)
	return slot, cell, err
}

// more takes memory for up to n further slots, as far as there is some.
func (s *session) more(chunk, n int) []*slab {
	got := s.from.extra(s.unit, n)
	var all []*slab
	for range got {
		b, ok := s.from.pool.TryGet(chunk)
		if !ok {
			break
		}
		all = append(all, &slab{buf: b})
	}
	s.from.release(int64(got-len(all)) * s.unit)
	s.held.Add(int64(len(all)) * s.unit)
	s.slabs = append(s.slabs, all...)
	return all
}

// open adds a domain for a path, with what was made of it where that fails.
// Blocks.
func (s *session) open(p path, n depths, access rdma.Access) error {
	d, err := openDomain(p, s.t.ledger.use(s.peer, &p), n, access)
	if s.side == asSource {
		d.kick = make(chan struct{}, 1)
	}
	s.domains = append(s.domains, d)
	if err != nil {
		return d.blame(err)
	}
	return nil
}

// cameUp counts a session that can move chunks.
func (s *session) cameUp() {
	s.up = true
	for _, d := range s.domains {
		f := &d.account.flows[s.side]
		f.sessions.Add(1)
		f.open.Add(1)
	}
}

// register makes a slab known in all domains. Blocks.
func (s *session) register(sl *slab, access rdma.Access) error {
	for _, d := range s.domains {
		m, err := d.register(sl.buf.Bytes(), access)
		if err != nil {
			return err
		}
		sl.regions = append(sl.regions, m)
	}
	return nil
}

// drop gives back the slab of a slot that is not used after all. No peer was told
// its keys. Blocks.
func (s *session) drop(sl *slab) error {
	for _, m := range sl.regions {
		if err := m.Close(); err != nil {
			return err
		}
	}
	for i := range s.slabs {
		if s.slabs[i] == sl {
			s.slabs = append(s.slabs[:i], s.slabs[i+1:]...)
			break
		}
	}
	sl.buf.Release()
	s.held.Add(-s.unit)
	s.from.release(s.unit)
	return nil
}

// do runs f, which calls verbs that may block, and waits for it until ctx ends.
// A verb that hangs cannot be cut off: f goes on then, and what it uses is not
// touched before the fence, which waits for it.
func (s *session) do(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	s.calls.Go(func() { done <- f() })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		s.stuck = true
		return fmt.Errorf("the device is not ready: %w", context.Cause(ctx))
	}
}

// watch starts the goroutines that take completions. take is called from one
// goroutine for each domain. From here on the session hears of events.
func (s *session) watch(take func(*domain, *rdma.WorkCompletion)) {
	s.watched = true
	s.t.enlist(s)
	for _, d := range s.domains {
		s.watchers.Go(func() {
			if err := d.watch(s.watching, func(wc *rdma.WorkCompletion) { take(d, wc) }); s.watching.Err() == nil {
				s.lost(d.blame(err))
			}
		})
	}
}

// fence ends the session: after it returned nil no write can land by it, and all
// its memory was given back. Where a queue pair or memory cannot be taken back
// from the device, or not in time, the session is quarantined with all its memory.
// It is called once.
func (s *session) fence() error {
	s.t.dismiss(s)
	done := make(chan error, 1)
	s.t.fenceBegins()
	go func() {
		defer s.t.fenceEnds()
		s.calls.Wait()
		err := s.takeApart()
		done <- err
		if err == nil {
			s.t.release(s)
		}
	}()
	limit := s.t.cfg.Limits.Destroy
	if s.stuck {
		limit = s.t.cfg.Limits.Drain // it was waited for already
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		if err != nil {
			err = fmt.Errorf("%w: %w", transport.ErrUnfenced, err)
			s.t.quarantine(s, err)
		}
		return err
	case <-timer.C:
	}
	err := fmt.Errorf("%w within %s", transport.ErrUnfenced, limit)
	s.t.quarantine(s, err)
	select {
	case late := <-done: // in the same moment
		if late == nil {
			s.t.release(s)
			return nil
		}
		return fmt.Errorf("%w: %w", transport.ErrUnfenced, late)
	default:
		return err
	}
}

// takeApart is the fence itself. Blocks for as long as the device does.
func (s *session) takeApart() error {
	for _, d := range s.domains {
		d.stop()
	}
	deadline := time.Now().Add(s.t.cfg.Limits.Drain)
	for _, d := range s.domains {
		if s.watched && d.stopped && !d.drain(deadline) {
			s.t.log.Warn("queue pairs did not drain in time", "device", d.path.rail.Device.Name())
		}
	}
	s.unwatch()
	s.watchers.Wait()
	var errs []error
	for _, d := range s.domains {
		held, err := d.destroy()
		if s.up {
			d.account.flows[s.side].open.Add(-1)
		}
		s.t.ledger.done(d.account)
		switch {
		case held:
			errs = append(errs, fmt.Errorf("%s: %w", d.path.rail, err))
		case err != nil:
			s.t.log.Warn("an RDMA object was left behind", "device", d.path.rail.Device.Name(), "err", err)
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	for _, sl := range s.slabs {
		sl.buf.Release()
	}
	s.slabs = nil
	s.from.release(s.held.Swap(0))
	s.unpinAll()
	return nil
}
