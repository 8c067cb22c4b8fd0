package lifecycle

import (
	"context"
	"time"

	"github.com/xferd/xferd/transfer"
)

// Get returns a transfer; see server.Engine for this and the other operations.
func (e *Engine) Get(_ context.Context, id string) (transfer.Transfer, error) {
	j, err := e.job(id)
	if err != nil {
		return transfer.Transfer{}, err
	}
	return j.current(), nil
}

// Wait blocks until the transfer is over or ctx ends.
func (e *Engine) Wait(ctx context.Context, id string) (transfer.Transfer, error) {
	for {
		changed := e.changes()
		j, err := e.job(id)
		if err != nil {
			return transfer.Transfer{}, err
		}
		t := j.current()
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

// Cancel asks for the end of a transfer.
func (e *Engine) Cancel(ctx context.Context, id string, purge bool, by string) (transfer.Transfer, error) {
	j, err := e.job(id)
	if err != nil {
		return transfer.Transfer{}, err
	}
	switch t := j.current(); {
	case t.State.Terminal() && t.State != transfer.StateSucceeded && purge && t.Epoch > 0:
		// It is over, but partials may be kept at the target.
		if err := j.purgeNow(ctx); err != nil {
			return t, asError(err, e.cfg.Node)
		}
		return j.current(), nil
	case t.State == transfer.StateCancelled:
		return t, nil // what is over does not change any more
	}
	return e.ask(ctx, id, evCancel, func(j *job) {
		if purge && !j.purge && j.t.Epoch > 0 {
			j.holds = true // the partials, if an edge let go already without dropping them
		}
		j.purge = j.purge || purge
	}, by)
}

// Pause asks a transfer to stop for a while.
func (e *Engine) Pause(ctx context.Context, id string) (transfer.Transfer, error) {
	return e.ask(ctx, id, evPause, nil, "")
}

// Resume queues a paused transfer again. One that is queued or runs is returned
// as it is.
func (e *Engine) Resume(ctx context.Context, id string) (transfer.Transfer, error) {
	j, err := e.job(id)
	if err != nil {
		return transfer.Transfer{}, err
	}
	if t := j.current(); t.State == transfer.StateQueued || t.State == transfer.StateRunning {
		return t, nil
	}
	t, err := e.ask(ctx, id, evResume, nil, "")
	e.poke()
	return t, err
}

// ask takes the transition of an operation and lets the running attempt know.
func (e *Engine) ask(ctx context.Context, id string, on event, prepare func(*job), by string) (transfer.Transfer, error) {
	j, err := e.job(id)
	if err != nil {
		return transfer.Transfer{}, err
	}
	j.mu.Lock()
	if prepare != nil {
		prepare(j)
	}
	j.mu.Unlock()
	state, err := j.step(ctx, on, func(t *transfer.Transfer) {
		if by != "" && t.CancelledBy == "" {
			t.CancelledBy = by
		}
	})
	if err != nil {
		return j.current(), err
	}
	j.mu.Lock()
	j.stopLocked()
	j.mu.Unlock()
	// A queued or paused transfer has no goroutine that would carry a cancel
	// out.
	if state == transfer.StateCancelling {
		e.mu.Lock()
		run := e.ctx
		e.mu.Unlock()
		if run != nil {
			e.start(run, j)
		}
	}
	return j.current(), nil
}

// Retry submits the spec of a transfer that is over again, as a new one.
func (e *Engine) Retry(ctx context.Context, id, newID, by string) (transfer.Transfer, bool, error) {
	j, err := e.job(id)
	if err != nil {
		return transfer.Transfer{}, false, err
	}
	t := j.current()
	if !t.State.Terminal() {
		return transfer.Transfer{}, false, &transfer.Error{
			Reason: transfer.BadState, Side: transfer.SideOwner, Node: e.cfg.Node,
			Err: errNotOver(t.State), Hint: "wait for its end, or cancel it first",
		}
	}
	s := transfer.Submission{ID: newID, Spec: t.Spec, Same: [32]byte(j.hash)}
	s.Spec.Principal = by
	if !s.Spec.Deadline.IsZero() && s.Spec.Deadline.Before(time.Now()) {
		s.Spec.Deadline = time.Time{} // it would fail at once
	}
	return e.submit(ctx, s, t.Name())
}

type errNotOver transfer.State

func (s errNotOver) Error() string { return "the transfer is " + string(s) + ", not over" }

// Update changes what may be changed while a transfer is not over; its labels
// always.
func (e *Engine) Update(ctx context.Context, id string, u transfer.Update) (transfer.Transfer, error) {
	j, err := e.job(id)
	if err != nil {
		return transfer.Transfer{}, err
	}
	if t := j.current(); t.State.Terminal() && (u.Priority != nil || u.MaxRate != nil || u.Deadline != nil) {
		return t, &transfer.Error{
			Reason: transfer.AlreadyFinished, Side: transfer.SideOwner, Node: e.cfg.Node,
			Err: errOver(t.State), Hint: "only labels can be changed now",
		}
	}
	err = j.edit(ctx, true, func(t *transfer.Transfer) {
		if u.Priority != nil {
			t.Spec.Priority = *u.Priority
		}
		if u.MaxRate != nil {
			t.Spec.MaxRate = *u.MaxRate
			if j.edge != nil {
				j.edge.SetMaxRate(e.limits.Load().rate(t.Spec.MaxRate))
			}
		}
		if u.Deadline != nil {
			t.Spec.Deadline = *u.Deadline
		}
		if u.Labels != nil {
			t.Spec.Labels = *u.Labels
		}
	})
	e.poke()
	return j.current(), err
}

type errOver transfer.State

func (s errOver) Error() string { return "the transfer is " + string(s) }
