package receiver

import (
	"fmt"
	"sync"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// maxSessions is how many sessions an owner may begin on one data plane. It needs
// one: what it was granted works once, and each costs a goroutine for a while.
const maxSessions = 4

// joined is a data plane that is set up over the control stream: it hands the
// messages of its sessions to them.
type joined struct {
	transport.Incoming
	joiner transport.Joiner
	post   func(*transfer.DataControl)
	last   uint32 // the highest session that was seen; older ones are over

	links    map[uint32]*transfer.DataLink
	sessions sync.WaitGroup
}

// control takes a message of the owner. Only the loop calls it.
func (j *joined) control(m *transfer.DataControl) error {
	link := j.links[m.Session]
	switch {
	case link != nil:
	case m.Session <= j.last:
		return nil // it crossed the end of its session
	case len(j.links) == maxSessions:
		return fmt.Errorf("more than %d sessions", maxSessions)
	default:
		link = transfer.NewDataLink(m.Session, j.post)
		j.links[m.Session] = link
		j.last = m.Session
		j.sessions.Go(func() {
			_ = j.joiner.Join(link) // the owner is told; its session ends
		})
	}
	return link.Deliver(m)
}

// Close implements transport.Incoming.
func (j *joined) Close() error {
	err := j.Incoming.Close()
	for _, l := range j.links {
		l.End()
	}
	j.sessions.Wait()
	return err
}
