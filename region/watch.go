package region

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// EventKind says what happened to a region.
type EventKind int

// The kinds of events.
const (
	Committed    EventKind = 1 + iota // ranges of it became whole
	StateChanged                      // see State
)

// Event is one thing that happened to a region.
type Event struct {
	Kind       EventKind
	Time       time.Time
	State      State  // after it
	Generation uint64 // after it

	// Of Committed.
	Ranges    []Range  // by offset; at most MaxEventRanges
	More      bool     // there were more ranges: these cover them, with gaps
	Digest    [16]byte // of the transfer's bytes
	Bytes     int64
	Transfer  string
	Principal string // who wrote
}

const (
	// MaxEventRanges bounds what an event says of the ranges that were written.
	MaxEventRanges = 64
	// maxHistory is how many events a region remembers for those who watch.
	maxHistory = 128
)

// history has the last events of a region.
type history struct {
	first  uint64  // number of the first in list; the next one is first+len(list)
	list   []Event // at most maxHistory
	before uint64  // generation before the first
	more   chan struct{}
}

// changed remembers an event and wakes those who wait. The caller holds g.mu.
func (g *region) changed(e Event) {
	h := &g.history
	e.Time, e.State, e.Generation = time.Now().UTC(), g.state, g.generation.Load()
	if len(h.list) == 0 && h.first == 0 {
		h.before = e.Generation
		if e.Kind == Committed {
			h.before--
		}
	}
	if len(h.list) == maxHistory {
		// A quarter at a time, so that remembering costs nothing on average.
		n := maxHistory / 4
		h.before = h.list[n-1].Generation
		h.first += uint64(n)
		h.list = slices.Delete(h.list, 0, n)
	}
	h.list = append(h.list, e)
	if h.more != nil {
		close(h.more)
		h.more = nil
	}
}

// Watch follows the events of one region. It is used by one goroutine, and needs no
// Close: the registry keeps nothing for it.
type Watch struct {
	g    *region
	next uint64
	over bool
}

// Watch begins with the events after a generation; without one, with those that come.
// Errors: ErrNotFound, ErrCompacted where events after that generation are forgotten.
func (r *Registry) Watch(principal, id string, after *uint64) (*Watch, error) {
	g, err := r.find(principal, id)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	h := &g.history
	w := &Watch{g: g, next: h.first + uint64(len(h.list))}
	if after == nil {
		return w, nil
	}
	now := g.generation.Load()
	switch {
	case *after > now:
		return nil, g.compacted(fmt.Errorf("generation %d has not come yet, it is %d", *after, now))
	case *after == now:
		return w, nil
	case len(h.list) == 0 || *after < h.before:
		return nil, g.compacted(fmt.Errorf("what came after generation %d", *after))
	}
	for i, e := range h.list {
		if e.Generation > *after {
			w.next = h.first + uint64(i)
			break
		}
	}
	return w, nil
}

func (g *region) compacted(err error) error {
	return &Error{Kind: ErrCompacted, ID: g.spec.ID, Err: err}
}

// Next blocks until there are events and returns them in order, at most maxHistory.
// It returns io.EOF after the event that the region is being deleted, ErrCompacted
// where the watcher was so slow that events are forgotten, and the error of ctx.
func (w *Watch) Next(ctx context.Context) ([]Event, error) {
	if w.over {
		return nil, io.EOF
	}
	g := w.g
	for {
		g.mu.Lock()
		h := &g.history
		if w.next < h.first {
			g.mu.Unlock()
			return nil, g.compacted(errors.New("the watcher is too slow"))
		}
		if i := w.next - h.first; i < uint64(len(h.list)) {
			list := slices.Clone(h.list[i:])
			w.next += uint64(len(list))
			w.over = list[len(list)-1].State == Deleting
			g.mu.Unlock()
			return list, nil
		}
		if g.state == Deleting {
			g.mu.Unlock()
			w.over = true
			return nil, io.EOF
		}
		if h.more == nil {
			h.more = make(chan struct{})
		}
		more := h.more
		g.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
