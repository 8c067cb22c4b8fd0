package tcp

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/xferd/xferd/internal/pace"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/internal/tally"
)

// outgoing is an edge at the source.
type outgoing struct {
	t     *Transport
	edge  transport.Edge
	grant transport.Grant
	opt   transport.DialOptions
	pacer *pace.Pacer
	stats tally.Counters
	first *sock // opened by Dial, taken by Run

	life  context.Context // until Close
	close context.CancelFunc

	mu    sync.Mutex
	ran   bool
	socks map[*sock]struct{}
}

func newOutgoing(t *Transport, edge transport.Edge, g transport.Grant, o transport.DialOptions) *outgoing {
	out := &outgoing{
		t: t, edge: edge, grant: g, opt: o,
		pacer: pace.New(o.MaxRate),
		socks: map[*sock]struct{}{},
	}
	out.life, out.close = context.WithCancel(context.Background())
	return out
}

// Run implements transport.Outgoing. It can be called once.
func (o *outgoing) Run(ctx context.Context, f transport.Feed) error {
	o.mu.Lock()
	first := o.first
	switch {
	case o.life.Err() != nil:
		o.mu.Unlock()
		return net.ErrClosed
	case o.ran:
		o.mu.Unlock()
		return errors.New("the edge ran already")
	}
	o.ran, o.first = true, nil
	o.mu.Unlock()

	parent := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var end firstError
	var wg sync.WaitGroup
	// A stream asks for chunks once the one before it got its first, so that
	// there are never more streams than chunks.
	var start func(i int, c *sock)
	start = func(i int, c *sock) {
		s := newStream(o, f, i)
		s.sock = c
		if i+1 < len(o.grant.Tokens) {
			s.following = func() { start(i+1, nil) }
		}
		wg.Go(func() {
			if err := s.run(ctx); err != nil {
				end.set(err)
				cancel() // one broken stream breaks all
			}
		})
	}
	start(0, first)
	stop := context.AfterFunc(o.life, cancel)
	wg.Wait()
	stop()
	switch err := end.get(); {
	case err == nil:
		return nil
	case o.life.Err() != nil:
		return net.ErrClosed
	case parent.Err() != nil:
		return parent.Err()
	default:
		return err
	}
}

// firstError keeps the first error of several goroutines.
type firstError struct {
	mu  sync.Mutex
	err error
}

func (v *firstError) set(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err == nil {
		v.err = err
	}
}

func (v *firstError) get() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err
}

// Close implements transport.Outgoing.
func (o *outgoing) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.close()
	if o.first != nil {
		o.first.abort()
		o.first = nil
	}
	return nil
}

// SetMaxRate implements transport.Outgoing.
func (o *outgoing) SetMaxRate(bytesPerSecond int64) {
	o.pacer.Set(bytesPerSecond)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.first != nil {
		o.first.pace(o.pacer.Rate())
	}
	for s := range o.socks {
		s.pace(o.pacer.Rate())
	}
}

// Stats implements transport.Outgoing.
func (o *outgoing) Stats() transport.Stats {
	s := o.stats.Read()
	s.PaceTime = o.pacer.Waited()
	return s
}

// attach notes the connection of a running stream, for SetMaxRate.
func (o *outgoing) attach(s *sock) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.socks[s] = struct{}{}
	s.pace(o.pacer.Rate())
}

func (o *outgoing) detach(s *sock) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.socks, s)
}
