package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/xferd/xferd/transfer"
)

// fakeEngine keeps transfers in memory; nothing moves.
type fakeEngine struct {
	node  transfer.NodeID
	state string

	mu       sync.Mutex
	all      map[string]*transfer.Transfer
	same     map[string][32]byte
	incoming []transfer.Transfer
	results  map[string][]transfer.Result
	revision uint64
	changed  chan struct{}
	lists    int   // calls of List
	fail     error // of every call, when set
	panics   bool

	purged    bool
	abandoned transfer.UID
	plan      transfer.Plan
	fakePosting
}

func newFakeEngine(node transfer.NodeID) *fakeEngine {
	return &fakeEngine{
		node: node, state: "state-of-" + string(node), changed: make(chan struct{}),
		all: map[string]*transfer.Transfer{}, same: map[string][32]byte{}, results: map[string][]transfer.Result{},
	}
}

func (e *fakeEngine) err(reason transfer.Reason, format string, args ...any) error {
	return &transfer.Error{Reason: reason, Side: transfer.SideOwner, Node: e.node, Err: fmt.Errorf(format, args...)}
}

// touch makes a new revision of t. The mutex is held.
func (e *fakeEngine) touch(t *transfer.Transfer) {
	e.revision++
	t.Revision = e.revision
	t.Updated = time.Unix(int64(1000+e.revision), 0)
	close(e.changed)
	e.changed = make(chan struct{})
}

// add stores a transfer of a principal.
func (e *fakeEngine) add(id, principal string, change ...func(*transfer.Transfer)) transfer.Transfer {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := &transfer.Transfer{
		Owner: e.node, ID: id, UID: transfer.NewUID(), State: transfer.StateQueued,
		Created: time.Unix(int64(1000+len(e.all)), 0),
		Spec: transfer.Spec{
			Mode: transfer.ModeCopy, Source: e.node, Target: "n2", Sources: []transfer.Source{{Path: "/data/a"}},
			Dest: "/data/b", DestMode: transfer.DestExact, Principal: principal,
		},
	}
	for _, f := range change {
		f(t)
	}
	e.all[id] = t
	e.touch(t)
	return *t
}

// set changes a transfer.
func (e *fakeEngine) set(id string, f func(*transfer.Transfer)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(e.all[id])
	e.touch(e.all[id])
}

func (e *fakeEngine) Submit(_ context.Context, s transfer.Submission) (transfer.Transfer, bool, error) {
	if e.panics {
		panic("the engine is a bad one")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fail != nil {
		return transfer.Transfer{}, false, e.fail
	}
	if t := e.all[s.ID]; t != nil {
		if e.same[s.ID] != s.Same {
			return transfer.Transfer{}, false, e.err(transfer.RequestIDReused, "another one")
		}
		return *t, true, nil
	}
	t := &transfer.Transfer{Owner: e.node, ID: s.ID, UID: transfer.NewUID(), Spec: s.Spec, State: transfer.StateQueued, Created: time.Now()}
	e.all[s.ID], e.same[s.ID] = t, s.Same
	e.touch(t)
	return *t, false, nil
}

func (e *fakeEngine) Validate(context.Context, transfer.Submission) (transfer.Plan, error) {
	return e.plan, e.fail
}

func (e *fakeEngine) Get(_ context.Context, id string) (transfer.Transfer, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if t := e.all[id]; t != nil && e.fail == nil {
		return *t, nil
	}
	if e.fail != nil {
		return transfer.Transfer{}, e.fail
	}
	return transfer.Transfer{}, e.err(transfer.TransferNotFound, "no %s", id)
}

// selected returns copies of what a query selects. The mutex is held.
func (e *fakeEngine) selected(q transfer.Query, more func(*transfer.Transfer) bool) []transfer.Transfer {
	var out []transfer.Transfer
	from := make([]*transfer.Transfer, 0, len(e.all))
	for _, t := range e.all {
		from = append(from, t)
	}
	if q.Incoming {
		from = from[:0]
		for i := range e.incoming {
			from = append(from, &e.incoming[i])
		}
	}
	for _, t := range from {
		if q.Match(t) && more(t) {
			out = append(out, *t)
		}
	}
	return out
}

func (e *fakeEngine) List(_ context.Context, q transfer.Query, after transfer.Position, limit int) ([]transfer.Transfer, transfer.Mark, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lists++
	mark := transfer.Mark{State: e.state, Revision: e.revision}
	if e.fail != nil {
		return nil, mark, e.fail
	}
	out := e.selected(q, func(t *transfer.Transfer) bool { return after.Less(transfer.PositionOf(t)) })
	slices.SortFunc(out, func(a, b transfer.Transfer) int {
		if transfer.PositionOf(&a).Less(transfer.PositionOf(&b)) {
			return -1
		}
		return 1
	})
	return out[:min(len(out), limit)], mark, nil
}

func (e *fakeEngine) Changes(ctx context.Context, q transfer.Query, since transfer.Mark) ([]transfer.Transfer, transfer.Mark, error) {
	for {
		e.mu.Lock()
		mark, changed := transfer.Mark{State: e.state, Revision: e.revision}, e.changed
		out := e.selected(q, func(t *transfer.Transfer) bool { return t.Revision > since.Revision })
		e.mu.Unlock()
		if since.State != mark.State || since.Revision > mark.Revision {
			return nil, mark, e.err(transfer.Compacted, "not of here")
		}
		if len(out) > 0 {
			slices.SortFunc(out, func(a, b transfer.Transfer) int { return int(int64(a.Revision) - int64(b.Revision)) })
			return out, mark, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, mark, nil
		}
	}
}

func (e *fakeEngine) Entries(_ context.Context, id string, q transfer.EntryQuery, after uint64, limit int) ([]transfer.Result, uint64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []transfer.Result
	all := e.results[id]
	for i := after; i < uint64(len(all)); i++ {
		if !q.Match(&all[i]) {
			continue
		}
		if len(out) == limit {
			return out, i, nil
		}
		out = append(out, all[i])
	}
	return out, 0, nil
}

func (e *fakeEngine) Wait(ctx context.Context, id string) (transfer.Transfer, error) {
	for {
		e.mu.Lock()
		t, changed := *e.all[id], e.changed
		e.mu.Unlock()
		if t.State.Terminal() {
			return t, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return t, nil
		}
	}
}

// become sets a state unless the transfer is over.
func (e *fakeEngine) become(id string, s transfer.State, f func(*transfer.Transfer)) (transfer.Transfer, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.all[id]
	if t.State.Terminal() {
		return *t, e.err(transfer.AlreadyFinished, "it is over")
	}
	t.State = s
	f(t)
	e.touch(t)
	return *t, nil
}

func (e *fakeEngine) Cancel(_ context.Context, id string, purge bool, by string) (transfer.Transfer, error) {
	e.purged = purge
	return e.become(id, transfer.StateCancelled, func(t *transfer.Transfer) { t.CancelledBy = by })
}

func (e *fakeEngine) Pause(_ context.Context, id string) (transfer.Transfer, error) {
	return e.become(id, transfer.StatePaused, func(*transfer.Transfer) {})
}

func (e *fakeEngine) Resume(_ context.Context, id string) (transfer.Transfer, error) {
	return e.become(id, transfer.StateQueued, func(*transfer.Transfer) {})
}

func (e *fakeEngine) Retry(_ context.Context, id, newID, by string) (transfer.Transfer, bool, error) {
	old := e.all[id]
	if !old.State.Terminal() {
		return transfer.Transfer{}, false, e.err(transfer.BadState, "it is not over")
	}
	if t := e.all[newID]; t != nil {
		return *t, true, nil
	}
	return e.add(newID, by, func(t *transfer.Transfer) { t.RetryOf = old.Name() }), false, nil
}

func (e *fakeEngine) Update(_ context.Context, id string, u transfer.Update) (transfer.Transfer, error) {
	return e.become(id, transfer.StateRunning, func(t *transfer.Transfer) {
		if u.Priority != nil {
			t.Spec.Priority = *u.Priority
		}
		if u.MaxRate != nil {
			t.Spec.MaxRate = *u.MaxRate
		}
		if u.Deadline != nil {
			t.Spec.Deadline = *u.Deadline
		}
		if u.Labels != nil {
			t.Spec.Labels = *u.Labels
		}
	})
}

func (e *fakeEngine) Incoming(_ context.Context, ref IncomingRef) (transfer.Transfer, error) {
	for _, t := range e.incoming {
		if t.UID == ref.UID || t.Owner == ref.Owner && t.ID == ref.ID {
			return t, nil
		}
	}
	return transfer.Transfer{}, e.err(transfer.TransferNotFound, "none")
}

func (e *fakeEngine) Abandon(_ context.Context, uid transfer.UID) error {
	e.abandoned = uid
	return nil
}

var errFake = errors.New("as the test wants it")
