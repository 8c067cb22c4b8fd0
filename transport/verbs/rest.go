package verbs

import (
	"errors"
	"fmt"
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
	device string
	port   int
	remote rdma.GID
}

type rest struct {
	until time.Time
	last  time.Duration
}

func (p *path) key() restKey { return restKey{p.rail.Device.Name(), p.rail.Port.Port, p.remote} }

// maxRests bounds what is remembered.
const maxRests = 1024

// begin lets a path rest, from now on.
func (r *rests) begin(p *path) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.paths == nil {
		r.paths = map[restKey]*rest{}
	}
	x := r.paths[p.key()]
	switch {
	case x != nil && now.Before(x.until):
		return x.until.Sub(now) // of a session from before, or of another one
	case x == nil:
		if len(r.paths) >= maxRests {
			r.forget(now)
		}
		x = &rest{}
		r.paths[p.key()] = x
	}
	x.last = min(max(2*x.last, r.first), r.longest)
	x.until = now.Add(x.last)
	return x.last
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
func (r *rests) end(p *path) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x := r.paths[p.key()]; x != nil && !time.Now().Before(x.until) {
		delete(r.paths, p.key())
	}
}

// awake returns the paths that do not rest. Where all do it is all of them: who
// asks for RDMA in spite of it finds out what it is worth.
func (r *rests) awake(paths []path) []path {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	var up []path
	for i := range paths {
		if x := r.paths[paths[i].key()]; x == nil || !now.Before(x.until) {
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
			o.t.rests.end(&d.path)
		}
		return nil
	}
	p := o.guilty(err)
	if p == nil {
		return err
	}
	rest := o.t.rests.begin(p)
	o.t.log.Warn("an RDMA path rests, since it broke", "rail", p.rail.String(), "peer", o.edge.Peer, "address", p.remote.String(), "for", rest, "err", err)
	if len(o.paths) > 1 {
		return &transport.PathError{Path: p.rail.String(), Err: err}
	}
	return err
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

// Degraded reports whether the session is without a path that rests. A new one may
// have it.
func (o *outgoing) Degraded() bool { return o.missing > 0 }
