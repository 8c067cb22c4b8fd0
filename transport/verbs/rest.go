package verbs

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/transport"
)

// railError is what one rail of a session failed by.
type railError struct {
	path *path
	err  error
}

func (e *railError) Error() string { return fmt.Sprintf("%s: %v", e.path.rail, e.err) }
func (e *railError) Unwrap() error { return e.err }

// blame says that a path failed.
func (d *domain) blame(err error) error { return &railError{&d.path, err} }

// rests are the paths that broke, and rest before they are used again. A path
// that breaks again and again rests longer and longer. Sessions that are under
// way go on.
type rests struct {
	first, longest time.Duration

	mu    sync.Mutex
	paths map[restKey]*rest
}

// restKey is a path: a port of this node and an address of a peer.
type restKey struct {
	peer   string // node
	device string
	port   int
	remote rdma.GID
}

type rest struct {
	until time.Time
	last  time.Duration
}

func (p *path) key(peer string) restKey {
	return restKey{peer, p.rail.Device.Name(), p.rail.Port.Port, p.remote}
}

// maxRests bounds what is remembered.
const maxRests = 1024

// begin lets a path to a peer rest, from now on, and says for how long. Where it
// rests already nothing begins.
func (r *rests) begin(peer string, p *path) (left time.Duration, begun bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.paths == nil {
		r.paths = map[restKey]*rest{}
	}
	x := r.paths[p.key(peer)]
	switch {
	case x != nil && now.Before(x.until):
		return x.until.Sub(now), false // of a session from before, or of another one
	case x == nil:
		if len(r.paths) >= maxRests {
			r.forget(now)
		}
		x = &rest{}
		r.paths[p.key(peer)] = x
	}
	x.last = min(max(2*x.last, r.first), r.longest)
	x.until = now.Add(x.last)
	return x.last, true
}

// forget drops what is over, and if nothing is, everything. Called with mu held.
func (r *rests) forget(now time.Time) {
	for k, x := range r.paths {
		if now.After(x.until) {
			delete(r.paths, k)
		}
	}
	if len(r.paths) >= maxRests {
		clear(r.paths)
	}
}

// end forgets that a path ever broke: a session used it to its end.
func (r *rests) end(peer string, p *path) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x := r.paths[p.key(peer)]; x != nil && !time.Now().Before(x.until) {
		delete(r.paths, p.key(peer))
	}
}

// awake returns the paths that do not rest. Where all do it is all of them: who
// asks for RDMA in spite of it finds out what it is worth.
func (r *rests) awake(peer string, paths []path) []path {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	var up []path
	for i := range paths {
		if x := r.paths[paths[i].key(peer)]; x == nil || !now.Before(x.until) {
			up = append(up, paths[i])
		}
	}
	if len(up) == 0 {
		return paths
	}
	return up
}

// ended draws the consequences of the end of a source's session: the path that
// broke it rests, and where others are left the error says so.
func (o *outgoing) ended(err error) error {
	if err == nil {
		for _, d := range o.s.domains {
			o.t.rests.end(o.edge.Peer, &d.path)
		}
		return nil
	}
	p := o.guilty(err)
	if p == nil {
		return err
	}
	rest, begun := o.t.rests.begin(o.edge.Peer, p)
	if begun {
		o.t.ledger.rested(o.edge.Peer, p)
	}
	o.t.log.Warn("an RDMA path rests, since it broke", "rail", p.rail.String(), "peer", o.edge.Peer, "address", p.remote.String(), "for", rest, "err", err)
	if len(o.paths) > 1 {
		return &transport.PathError{Path: p.rail.String(), Err: err}
	}
	return err
}

// fellBack counts a session that failed.
func (o *outgoing) fellBack(err error) {
	o.t.ledger.fellBack(o.edge.Peer, o.guilty(err), reasonOf(err))
}

// guilty finds the path that an error is about, if it is about one.
func (o *outgoing) guilty(err error) *path {
	if e, ok := errors.AsType[*railError](err); ok {
		return e.path
	}
	e, ok := errors.AsType[*peerError](err)
	if !ok {
		return nil
	}
	for i := range o.paths {
		if o.paths[i].peer == e.rail {
			return &o.paths[i]
		}
	}
	return nil
}

// hopeless is how long after its rest a path that is still not back is waited for.
const hopeless = 10 * time.Minute

// missing reports whether there is a path to a peer that broke not long ago, and is
// none of those given: its port may even be down.
func (r *rests) missing(peer string, used []path) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for k, x := range r.paths {
		if k.peer == peer && now.Before(x.until.Add(hopeless)) && !slices.ContainsFunc(used, func(p path) bool { return p.key(peer) == k }) {
			return true
		}
	}
	return false
}

// Degraded reports whether the session is without a path that broke. A new one may
// have it.
func (o *outgoing) Degraded() bool { return o.t.rests.missing(o.edge.Peer, o.paths) }
