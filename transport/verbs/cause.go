package verbs

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// causeFirst is how long the side that may know better has to say why a session
// broke, when the other was faster.
const causeFirst = 200 * time.Millisecond

// causes puts two messages about one failure, which come in any order, into the
// right one. What ended the session at the target by its own will, such as a sink
// that refused, is the cause of what this end's device then reports. That a rail
// failed there only follows from what this end's device reports.
type causes struct {
	mu     sync.Mutex
	device error // its first one
	blamed bool  // the target said that a rail failed
}

// deviceSays takes what the device reported of a rail. It does not block.
func (o *outgoing) deviceSays(err error) {
	c := &o.causes
	c.mu.Lock()
	first, blamed := c.device == nil, c.blamed
	if first {
		c.device = err
	}
	c.mu.Unlock()
	switch {
	case blamed:
		o.fail(err)
	case first:
		time.AfterFunc(causeFirst, func() { o.fail(err) })
	}
}

// targetSays takes the error that ended the control stream. It blocks for
// causeFirst at the most.
func (o *outgoing) targetSays(ctx context.Context, err error) {
	defer func() { o.fail(err) }() // the first one counts
	p, ok := errors.AsType[*peerError](err)
	if !ok || p.rail < 0 {
		return
	}
	c := &o.causes
	c.mu.Lock()
	c.blamed = true
	device := c.device
	c.mu.Unlock()
	if device != nil {
		o.fail(device)
		return
	}
	if !slices.ContainsFunc(o.s.domains, func(d *domain) bool { return d.path.peer == p.rail && d.outstanding.Load() > 0 }) {
		return
	}
	timer := time.NewTimer(causeFirst)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
