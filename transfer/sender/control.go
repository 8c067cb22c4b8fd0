package sender

import (
	"context"
	"fmt"
	"time"

	"github.com/xferd/xferd/transfer"
)

// receive reads the target's messages until the stream or ctx ends. It never
// waits for anything but the next message.
func (e *Edge) receive(ctx context.Context) error {
	for {
		m, err := e.link.Recv(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return lost(&e.job, transfer.PhaseMove, err)
		}
		e.heard.Store(int64(time.Since(e.began)))
		if err := e.handle(m); err != nil {
			return err
		}
	}
}

func (e *Edge) handle(m transfer.ToOwner) error {
	switch m := m.(type) {
	case *transfer.Answers:
		now := e.now()
		for i := range m.Answers {
			if err := e.answer(&m.Answers[i], now); err != nil {
				return err
			}
		}
	case *transfer.Results:
		for i := range m.Results {
			r := &m.Results[i]
			if err := e.checkResult(r); err != nil {
				return err
			}
			e.result(r)
		}
	case *transfer.Opened:
		e.answered = true
		return offer(e, e.opened, m)
	case *transfer.DataReady:
		return offer(e, e.ready, m)
	case *transfer.DataFenced:
		return offer(e, e.fenced, m)
	case *transfer.Finished:
		return offer(e, e.finished, m)
	case *transfer.Refused:
		e.mu.Lock()
		e.summary.Refused = !e.answered
		e.mu.Unlock()
		return refusal(&e.job, m)
	case *transfer.DataControl:
		if err := e.control.take(m); err != nil {
			return broken(&e.job, "data plane: %w", err)
		}
	case *transfer.Pong:
		if (m.Waiting == nil) == e.waiting {
			e.waiting = m.Waiting != nil
			e.obs.Waiting(m.Waiting)
		}
	default:
		return broken(&e.job, "unexpected %T", m)
	}
	return nil
}

// offer hands an answer to whom waits for it. There is room for one: a second
// one that nobody asked for ends the edge.
func offer[T any](e *Edge, to chan<- T, m T) error {
	select {
	case to <- m:
		return nil
	default:
		return broken(&e.job, "%T was not asked for", m)
	}
}

func (e *Edge) checkResult(r *transfer.Result) error {
	e.mu.Lock()
	next, ready := e.next, e.plan != nil
	e.mu.Unlock()
	if r.Entry == transfer.NoEntry && r.Outcome == transfer.OutcomeDeleted && (e.job.Spec.Delete || e.job.Spec.Force || e.job.Spec.Mode == transfer.ModeVerify) && r.Path != "" && len(r.Path) <= maxPath {
		return nil // of a name that only the destination had
	}
	if r.Entry == transfer.NoEntry && r.Outcome == transfer.OutcomePublished && r.Kind == transfer.KindDir && r.Change == transfer.ChangeNew && r.Path != "" && len(r.Path) <= maxPath {
		return nil // of a directory above the destination
	}
	if !ready || r.Entry >= next {
		return broken(&e.job, "a result of entry %d, of %d", r.Entry, next)
	}
	if r.Outcome < transfer.OutcomePublished || r.Outcome > transfer.OutcomeDeleted || (r.Outcome == transfer.OutcomeFailed) != (r.Err != nil) {
		return broken(&e.job, "a result of entry %d with outcome %d and error %v", r.Entry, r.Outcome, r.Err)
	}
	return nil
}

// answer takes what the target wants of an entry. Nothing of a source is read
// before that, so here is where one that is too young is held back.
func (e *Edge) answer(a *transfer.Answer, now time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.plan == nil || a.Entry >= e.next {
		return broken(&e.job, "an answer for entry %d, of %d", a.Entry, e.next)
	}
	n := e.entries[a.Entry]
	if n == nil || n.leaving() {
		return nil // it crossed with the end of the entry
	}
	f := &n.found
	if !f.Kind.HasBytes() {
		return broken(&e.job, "an answer for entry %d, which is no file", a.Entry)
	}
	if a.Want == transfer.WantAgain {
		e.settled = append(e.settled, settlement{again: n})
		e.settle.Signal()
		return nil
	}
	if f.Size > 0 && tooYoung(f, now) {
		e.hold(n, a)
		return nil
	}
	return e.admit(n, a)
}

// admit lets an entry be read as the target wants it. Called with mu held.
func (e *Edge) admit(n *entry, a *transfer.Answer) error {
	f := &n.found
	switch a.Want {
	case transfer.WantDigests:
		if !e.digests.push(n) {
			return broken(&e.job, "the digests of entry %d were asked for twice", a.Entry)
		}
		return nil
	case transfer.WantAll, transfer.WantRanges:
	default:
		return broken(&e.job, "entry %d: unknown want %d", a.Entry, a.Want)
	}
	if e.digests.pending(n) {
		return broken(&e.job, "entry %d is wanted before its digests came", a.Entry)
	}
	pack := f.Size <= packLimit && f.Assembly == nil
	complete, err := e.plan.Add(a.Entry, f.Size, pack, a.Want == transfer.WantAll, a.Ranges)
	if err != nil {
		return broken(&e.job, "%w", err)
	}
	if a.Want == transfer.WantRanges && (complete || !pack) { // a pack goes whole
		n.have = f.Size
		for _, r := range a.Ranges {
			n.have -= r.Length
		}
		e.progress.BytesSame += n.have
	}
	if complete {
		e.settled = append(e.settled, settlement{complete: n})
		e.settle.Signal()
		return nil
	}
	e.work.Signal()
	return nil
}

// peerError is the failure of a data plane, as it is told.
func (e *Edge) peerError(err error) *transfer.Error {
	t := lost(&e.job, transfer.PhaseMove, fmt.Errorf("data plane: %w", err))
	if p, ok := asProtocol(err); ok {
		t.Reason, t.Err = transfer.ProtocolError, p
	}
	return t
}
