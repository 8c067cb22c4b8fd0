package verbs

import (
	"errors"
	"time"

	"github.com/xferd/xferd/rdma"
)

// Event tells the transport of an asynchronous event of a device, so that the
// sessions which it ends for sure end at once: they would find out by their
// retries or by Limits.Stall. Those of ports and addresses are not among them: a
// connection survives a short outage, and every set-up looks at ports and
// addresses anew. It does not block.
func (t *Transport) Event(dev *rdma.Device, e rdma.AsyncEvent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := range t.sessions {
		for _, d := range s.domains {
			if d.path.rail.Device == dev && d.ends(e) {
				s.lost(d.blame(errors.New(e.String())))
			}
		}
	}
}

// ends reports whether the domain is of no use after an event of its device.
func (d *domain) ends(e rdma.AsyncEvent) bool {
	switch e.Type {
	case rdma.EventDeviceFatal, rdma.EventCompletionQueueError: // it does not tell which
		return true
	case rdma.EventQueuePairFatal, rdma.EventQueuePairRequestError, rdma.EventQueuePairAccessError:
		for _, p := range d.pairs {
			if p.qp.Number() == e.QueuePair {
				return true
			}
		}
	}
	return false
}

// enlist makes a session hear of events, dismiss ends that.
func (t *Transport) enlist(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sessions[s] = struct{}{}
}

func (t *Transport) dismiss(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.sessions, s)
}

// quarantine keeps a session whose memory the device did not give back.
func (t *Transport) quarantine(s *session, err error) {
	t.mu.Lock()
	t.quarantined[s] = struct{}{}
	n := len(t.quarantined)
	t.mu.Unlock()
	t.log.Error("RDMA memory is quarantined: it could not be taken back from the device", "bytes", s.held.Load(), "sessions", n, "err", err)
}

// release takes a session out of quarantine, if it is there: its device was slow,
// no more.
func (t *Transport) release(s *session) {
	t.mu.Lock()
	_, was := t.quarantined[s]
	delete(t.quarantined, s)
	t.mu.Unlock()
	if was {
		t.log.Warn("RDMA memory came back from quarantine: the device took long to give it back")
	}
}

// Quarantined returns how many sessions have memory that cannot be used again,
// since their device did not give it back.
func (t *Transport) Quarantined() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.quarantined)
}

// fenceBegins and fenceEnds count the sessions that are being taken apart.
func (t *Transport) fenceBegins() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fencing++
}

func (t *Transport) fenceEnds() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fencing--; t.fencing == 0 && t.fenced != nil {
		close(t.fenced)
		t.fenced = nil
	}
}

// awaitFences waits until no session is being taken apart, at most that long: the
// process cannot end a call of a device that hangs.
func (t *Transport) awaitFences(most time.Duration) {
	t.mu.Lock()
	if t.fencing == 0 {
		t.mu.Unlock()
		return
	}
	if t.fenced == nil {
		t.fenced = make(chan struct{})
	}
	over := t.fenced
	t.mu.Unlock()
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-over:
	case <-timer.C:
	}
}
