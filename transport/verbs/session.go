package verbs

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/transport"
)

// session is what both ends of an edge have: domains, and goroutines that watch
// them.
type session struct {
	t       *Transport
	domains []*domain

	watched  bool // the goroutines run
	watching context.Context
	unwatch  context.CancelFunc
	watchers sync.WaitGroup
}

func newSession(t *Transport) *session {
	s := &session{t: t}
	s.watching, s.unwatch = context.WithCancel(context.Background())
	return s
}

// watch starts the goroutines that take completions. take is called from one
// goroutine for each domain; lost when the completion queue is.
func (s *session) watch(take func(*domain, *rdma.WorkCompletion), lost func(error)) {
	s.watched = true
	for _, d := range s.domains {
		s.watchers.Go(func() {
			if err := d.watch(s.watching, func(wc *rdma.WorkCompletion) { take(d, wc) }); s.watching.Err() == nil {
				lost(err)
			}
		})
	}
}

// fence ends the session: after it returned nil no write can land by it, and all
// its memory was given back. Where a queue pair or memory cannot be given up the
// domain is quarantined for good, and with it the memory that all domains share.
func (s *session) fence() error {
	var errs []error
	for _, d := range s.domains {
		if err := d.stop(); err != nil {
			errs = append(errs, err)
		}
	}
	deadline := time.Now().Add(s.t.cfg.Limits.Drain)
	for _, d := range s.domains {
		if s.watched && len(errs) == 0 && !d.drain(deadline) {
			s.t.log.Warn("queue pairs did not drain in time", "device", d.path.rail.Device.Name())
		}
	}
	s.unwatch()
	s.watchers.Wait()
	errs = nil // destroying is what counts
	// The first domain holds the leases of the memory that all of them
	// registered: it goes last.
	for i := len(s.domains) - 1; i >= 0; i-- {
		d := s.domains[i]
		if len(errs) > 0 && i == 0 {
			// The memory may still be written to through another domain.
			s.t.quarantine(d)
			break
		}
		if err := d.destroy(); err != nil {
			s.t.log.Error("RDMA memory is quarantined: it could not be taken back from the device", "device", d.path.rail.Device.Name(), "err", err)
			s.t.quarantine(d)
			errs = append(errs, err)
		}
	}
	s.domains = nil
	return errors.Join(errs...)
}

// memory leases and registers size bytes on all domains. The first lease of a
// session may wait for the pool.
func (s *session) memory(ctx context.Context, pool *bufpool.Pool, size int, wait bool, access rdma.Access) ([]byte, []*rdma.MemoryRegion, error) {
	var b *bufpool.Buffer
	if wait {
		var err error
		if b, err = pool.Get(ctx, size); err != nil {
			return nil, nil, err
		}
	} else {
		var ok bool
		if b, ok = pool.TryGet(size); !ok {
			return nil, nil, errNoBuffer
		}
	}
	s.domains[0].leases = append(s.domains[0].leases, b)
	regions := make([]*rdma.MemoryRegion, len(s.domains))
	for i, d := range s.domains {
		m, err := d.register(b.Bytes(), access)
		if err != nil {
			return nil, nil, err
		}
		regions[i] = m
	}
	return b.Bytes(), regions, nil
}

var errNoBuffer = errors.New("the buffer memory is used up")

// slotsFor is how many slots a session may take of a pool: a quarter of it, so
// that several get on.
func (t *Transport) slotsFor(pool *bufpool.Pool, chunk int64) int {
	return int(max(1, min(int64(t.cfg.Limits.Slots), pool.Budget()/4/chunk)))
}

// reasonOf finds the reason in an error of the set-up.
func reasonOf(err error) transport.Reason {
	u, isUnavailable := errors.AsType[*transport.UnavailableError](err)
	switch {
	case isUnavailable && u.Reason != transport.NoReason:
		return u.Reason
	case errors.Is(err, errNoPath):
		return transport.NoPath
	case errors.Is(err, errProbe):
		return transport.ProbeFailed
	case errors.Is(err, errNoBuffer), errors.Is(err, bufpool.ErrClosed):
		return transport.NoBuffers
	}
	if e, ok := errors.AsType[*rdma.Error](err); ok && e.Verb == "ibv_reg_mr" && (errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.EPERM)) {
		return transport.Memlock
	}
	return transport.QPError
}

func randomPSN() uint32 {
	var b [4]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint32(b[:]) & 0xffffff
}
