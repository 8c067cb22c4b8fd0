package sender

import (
	"cmp"
	"time"

	"github.com/xferd/xferd/transport"
)

// firstComeback and lastComeback are the default and the end of Config.Comeback.
const (
	firstComeback = 30 * time.Second
	lastComeback  = 10 * time.Minute
)

// comeback is the way back to the best transport. A data plane that is not the
// best one is ended in good order when it is time: its streams find the feed at
// its end, what is on its way is answered for, and the next data plane is asked
// for with all transports again. Guarded by Edge.mu.
type comeback struct {
	all  choice        // before anything was left
	wait time.Duration // the last one
	at   time.Time     // when to try again; zero: nothing to try
	rdma time.Time     // since when RDMA is in use; zero: it is not
	turn bool          // the streams are to end
}

// lesser is an Outgoing that can do with less than it should have: RDMA without
// one of its rails.
type lesser interface{ Degraded() bool }

// later sets when the best transport is tried again, after first at the earliest.
// Called with mu held.
func (c *comeback) later(now time.Time, first time.Duration) {
	first = cmp.Or(first, firstComeback)
	if !c.rdma.IsZero() && now.Sub(c.rdma) >= 2*max(c.wait, first) {
		c.wait = 0 // it was of use
	}
	c.wait = min(max(2*c.wait, first), lastComeback)
	c.at, c.rdma = now.Add(c.wait), time.Time{}
}

// names returns the transports to ask for, all of them where it is time for it.
func (e *Edge) names() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := &e.back
	if c.turn || !c.at.IsZero() && !time.Now().Before(c.at) {
		e.log.Info("it is time to try the best transport again", "transport", c.all.names[0], "instead_of", e.used, "left_for", c.wait, "why", e.choice.why)
		e.choice = c.all
		c.at = time.Time{}
	}
	c.turn = false
	return e.choice.names
}

// watchBest has the streams end when it is time for a better data plane than this
// one. The function that it returns ends that.
func (e *Edge) watchBest(name string, out transport.Outgoing) (stop func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, now := &e.back, time.Now()
	if len(c.all.names) == 0 || c.all.names[0] != transport.RDMA {
		return func() {}
	}
	if name == transport.RDMA {
		c.rdma = now
		if l, ok := out.(lesser); !ok || !l.Degraded() {
			return func() {}
		}
		c.rdma = time.Time{}
		c.later(now, e.cfg.Comeback)
	} else if c.at.IsZero() { // the target chose another one
		c.later(now, e.cfg.Comeback)
	}
	timer := time.AfterFunc(c.at.Sub(now), func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if !e.noMore {
			c.turn = true
			e.work.Broadcast()
		}
	})
	return func() { timer.Stop() }
}

// turned reports whether a data plane ended so that a better one can follow.
func (e *Edge) turned() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.back.turn
}
