package transfer

import (
	"fmt"
	"sync"

	"github.com/xferd/xferd/transport"
)

// MaxSessions is how many sessions an owner may begin on one data plane. It needs
// one: what it was granted works once, and each costs a goroutine for a while.
const MaxSessions = 4

// Joined is a data plane at the target that is set up over the control stream: it
// hands the messages of its sessions to them. But for Close it is used by one
// goroutine.
type Joined struct {
	transport.Incoming
	joiner transport.Joiner
	post   func(*DataControl)
	last   uint32 // the highest session that was seen; older ones are over

	links    map[uint32]*DataLink
	sessions sync.WaitGroup
}

// Join returns in as a Joined where it is a transport.Joiner, whose messages to the
// owner go to post, which must not block. Sessions up to last are over.
func Join(in transport.Incoming, last uint32, post func(*DataControl)) transport.Incoming {
	j, ok := in.(transport.Joiner)
	if !ok {
		return in
	}
	return &Joined{Incoming: in, joiner: j, last: last, links: map[uint32]*DataLink{}, post: post}
}

// Take takes a message of the owner. last is the highest session that was seen. An
// error means that the owner does not keep to the protocol.
func (j *Joined) Take(m *DataControl) (last uint32, err error) {
	link := j.links[m.Session]
	switch {
	case link != nil:
	case m.Session <= j.last:
		return j.last, nil // it crossed the end of its session
	case len(j.links) == MaxSessions:
		return j.last, fmt.Errorf("more than %d sessions", MaxSessions)
	default:
		link = NewDataLink(m.Session, j.post)
		j.links[m.Session] = link
		j.last = m.Session
		j.sessions.Go(func() {
			_ = j.joiner.Join(link) // the owner is told; its session ends
		})
	}
	return j.last, link.Deliver(m)
}

// Close implements transport.Incoming.
func (j *Joined) Close() error {
	err := j.Incoming.Close()
	for _, l := range j.links {
		l.End()
	}
	j.sessions.Wait()
	return err
}
