package receiver

import (
	"fmt"

	"github.com/xferd/xferd/transfer"
)

// SetMaxIncoming changes how many edges of other nodes may be open at a time,
// from the next one on; 0 is the default.
func (r *Receiver) SetMaxIncoming(n int) {
	if n <= 0 {
		n = DefaultIncoming
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cfg.MaxIncoming = n
}

// takePlace refuses an edge while as many are open as the node takes at a time.
// leave gives the place back.
//
// It cannot make nodes wait for each other: an edge that has a place never waits
// for another edge. Edges inside the node have none, since the limit of its owner
// bounds them already. A transfer that has its destination locked here gets a
// place in any case: it was let in before, and its end, or its cancel, is what
// makes room.
func (r *Receiver) takePlace(p Peer, m *transfer.Open) (leave func(), terr *transfer.Error) {
	if p.SameNode || m.ValidateOnly {
		return func() {}, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	others := len(r.places)
	if r.places[m.UID] > 0 { // an attempt that this one overtakes
		others--
	}
	if others >= r.cfg.MaxIncoming && r.locks[m.UID] == nil {
		terr := r.refuse(transfer.NodeBusy, m.Dest, fmt.Errorf("%d transfers come in already (limits.incoming)", others))
		terr.Hint = "it is tried again by itself"
		return nil, terr
	}
	r.places[m.UID]++
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.places[m.UID]--; r.places[m.UID] == 0 {
			delete(r.places, m.UID)
		}
	}, nil
}
