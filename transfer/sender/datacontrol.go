package sender

import (
	"context"
	"sync"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// controls are the sessions of data planes that are set up over the control
// stream.
type controls struct {
	post func(transfer.ToTarget)

	mu    sync.Mutex
	last  uint32
	links map[uint32]*transfer.DataLink
}

// open begins a session; it is what transports get as DialOptions.Control.
func (c *controls) open(context.Context) (transport.Control, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	l := transfer.NewDataLink(c.last, func(m *transfer.DataControl) {
		c.post(m)
		if m.End {
			c.forget(m.Session)
		}
	})
	c.links[c.last] = l
	return l, nil
}

func (c *controls) forget(session uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.links, session)
}

// take hands a message of the target to its session.
func (c *controls) take(m *transfer.DataControl) error {
	c.mu.Lock()
	l := c.links[m.Session]
	if m.End {
		delete(c.links, m.Session)
	}
	c.mu.Unlock()
	if l == nil {
		return nil // it crossed the end of its session
	}
	return l.Deliver(m)
}
