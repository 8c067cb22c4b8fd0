package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/xferd/xferd/transfer"
)

// pump sends to one watcher in a goroutine of its own, so that one that does
// not read can be given up: a blocked Send returns only after the handler did.
type pump[M any] struct {
	server *Server
	in     chan *M
	out    chan error // of capacity 1: the goroutine never waits for the handler
}

// newPump starts the goroutine, which ends after close and the handler's return.
func newPump[M any](s *Server, send func(*M) error) (*pump[M], error) {
	if !s.pumps.begin() {
		return nil, s.stopping()
	}
	p := &pump[M]{server: s, in: make(chan *M), out: make(chan error, 1)}
	go func() {
		defer s.pumps.end()
		for m := range p.in {
			p.out <- send(m)
		}
	}()
	return p, nil
}

// send returns when the message is on its way, the watcher does not read for
// too long (SLOW_CONSUMER), or ctx ends. After an error nothing more is sent.
func (p *pump[M]) send(ctx context.Context, m *M) error {
	p.in <- m // the goroutine is idle: the send before returned without error
	slow := time.NewTimer(slowAfter)
	defer slow.Stop()
	select {
	case err := <-p.out:
		return err
	case <-slow.C:
		return &transfer.Error{
			Reason: transfer.SlowConsumer, Side: transfer.SideClient, Node: p.server.cfg.Self,
			Err:  errors.New("the watcher did not read for " + slowAfter.String()),
			Hint: "watch again from the last token",
		}
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pump[M]) close() { close(p.in) }

// pumpCount waits for goroutines that a WaitGroup could not be asked for while
// new ones may still come.
type pumpCount struct {
	mu     sync.Mutex
	closed bool
	n      int
	idle   chan struct{} // closed when the last ended after closed was set
}

func (c *pumpCount) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.n++
	return true
}

func (c *pumpCount) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n--; c.closed && c.n == 0 {
		close(c.idle)
	}
}

// wait lets no more begin and returns when all ended.
func (c *pumpCount) wait() {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		if c.n == 0 {
			close(c.idle)
		}
	}
	c.mu.Unlock()
	<-c.idle
}
