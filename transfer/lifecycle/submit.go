package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/xferd/xferd/internal/failpoint"
	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/sender"
)

// Submit stores a transfer durably; see server.Engine. P3: when it returned
// without error, the transfer survives any crash.
func (e *Engine) Submit(ctx context.Context, s transfer.Submission) (transfer.Transfer, bool, error) {
	return e.submit(ctx, s, "")
}

func (e *Engine) submit(ctx context.Context, s transfer.Submission, retryOf string) (transfer.Transfer, bool, error) {
	// A known id is answered before anything is checked: a repeated submit must
	// not fail because the source is gone by now.
	if t, known, err := e.known(&s); known {
		return t, err == nil, err
	}
	if err := e.check(&s); err != nil {
		return transfer.Transfer{}, false, err
	}
	j, known, err := e.enqueue(&s, retryOf)
	if err != nil || known {
		if j == nil {
			return transfer.Transfer{}, false, err
		}
		return j.current(), known, err
	}
	// The job is in the map, but as long as j.mu is held nobody can act on it,
	// and it is shown only when it was stored.
	defer j.mu.Unlock()
	failpoint.Hit("lifecycle/submit")
	if err := j.store(ctx); err != nil {
		e.mu.Lock()
		e.roster.remove(j)
		e.mu.Unlock()
		close(j.stored)
		return transfer.Transfer{}, false, err
	}
	failpoint.Hit("lifecycle/submitted")
	j.announce()
	close(j.stored)
	e.poke()
	return j.current(), false, nil
}

// known answers a submission whose id is remembered. P4.
func (e *Engine) known(s *transfer.Submission) (transfer.Transfer, bool, error) {
	e.mu.Lock()
	j := e.roster.byID[s.ID]
	e.mu.Unlock()
	if j == nil {
		return transfer.Transfer{}, false, nil
	}
	<-j.stored
	t := j.snap.Load()
	if t == nil { // its store failed; it never was
		return transfer.Transfer{}, false, nil
	}
	return *t, true, j.same(s)
}

// same returns REQUEST_ID_REUSED unless s asks for what j is.
func (j *job) same(s *transfer.Submission) error {
	if string(j.hash) == string(s.Same[:]) {
		return nil
	}
	return &transfer.Error{
		Reason: transfer.RequestIDReused, Side: transfer.SideOwner, Phase: transfer.PhaseSubmit, Node: j.e.cfg.Node,
		Err:  fmt.Errorf("transfer %q exists already, with another specification", s.ID),
		Hint: "choose another id; the same one stands for the same transfer",
	}
}

// enqueue puts a new job into the map, with its mu held, or returns the one
// that came first.
func (e *Engine) enqueue(s *transfer.Submission, retryOf string) (*job, bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopping {
		return nil, false, &transfer.Error{
			Reason: transfer.NodeStopping, Side: transfer.SideOwner, Phase: transfer.PhaseSubmit, Node: e.cfg.Node,
			Err: errors.New("the node is stopping"),
		}
	}
	// Submitted at the same moment. Where that one's store failed, another one
	// that waited for it may be first by now.
	for j := e.roster.byID[s.ID]; j != nil; j = e.roster.byID[s.ID] {
		e.mu.Unlock()
		<-j.stored
		e.mu.Lock()
		if j.snap.Load() != nil {
			return j, true, j.same(s)
		}
	}
	queued := 0
	for j := range e.roster.live {
		if t := j.snap.Load(); t == nil || t.State == transfer.StateQueued {
			queued++
		}
	}
	if queued >= e.limits.Load().MaxQueued {
		return nil, false, &transfer.Error{
			Reason: transfer.QueueFull, Side: transfer.SideOwner, Phase: transfer.PhaseSubmit, Node: e.cfg.Node,
			Err:  fmt.Errorf("%d transfers wait already (limits.queued)", queued),
			Hint: "submit again when some of them ended",
		}
	}
	e.order++
	now := time.Now()
	j := e.newJob(record{Order: e.order, SpecHash: s.Same[:], Transfer: transfer.Transfer{
		Owner: e.cfg.Node, ID: s.ID, UID: transfer.NewUID(), Spec: s.Spec, State: transfer.StateQueued,
		Created: now, Updated: now, RetryOf: retryOf,
	}})
	j.mu.Lock()
	e.roster.add(j)
	return j, false, nil
}

// check refuses what could never run.
func (e *Engine) check(s *transfer.Submission) error {
	if s.Spec.Source != e.cfg.Node {
		return &transfer.Error{
			Reason: transfer.InvalidSpec, Side: transfer.SideOwner, Phase: transfer.PhaseSubmit, Node: e.cfg.Node,
			Err: fmt.Errorf("the source is on node %s", s.Spec.Source),
		}
	}
	if e.cfg.Draining() {
		return &transfer.Error{
			Reason: transfer.NodeDraining, Side: transfer.SideOwner, Phase: transfer.PhaseSubmit, Node: e.cfg.Node,
			Err:  fmt.Errorf("node %s takes no new transfers", e.cfg.Node),
			Hint: "undo it with: xferctl nodes undrain " + string(e.cfg.Node),
		}
	}
	if err := e.cfg.Store.Room(); err != nil {
		// The record may still fit, and what the transfer notes later does not.
		t := storeError(err, e.cfg.Node)
		t.Phase = transfer.PhaseSubmit
		return t
	}
	if p := e.limits.Load().Policy; s.Spec.Policy == transfer.PolicyAuto && p != "" {
		s.Spec.Policy = p
	}
	if s.Spec.Target != e.cfg.Node {
		if err := e.cfg.Peers.Check(s.Spec.Target); err != nil {
			return err
		}
	}
	if err := checkRegions(e.cfg.Regions, e.cfg.Node, &s.Spec); err != nil {
		return err
	}
	return checkSources(e.cfg.Exports(), e.cfg.Node, &s.Spec)
}

// Validate asks the target too and changes nothing; see server.Engine.
func (e *Engine) Validate(ctx context.Context, s transfer.Submission) (transfer.Plan, error) {
	if err := e.check(&s); err != nil {
		return transfer.Plan{}, err
	}
	if err := e.releases.clear(ctx, &s.Spec); err != nil {
		return transfer.Plan{}, err
	}
	link, err := e.cfg.Peers.OpenTarget(ctx, s.Spec.Target)
	if err != nil {
		return transfer.Plan{}, err
	}
	defer link.Close()
	return e.cfg.Validate(ctx, sender.Job{
		Spec: s.Spec, ID: s.ID, UID: transfer.NewUID(), StateUUID: e.cfg.Store.StateUUID(), Epoch: 1,
		TargetDistinct: s.Spec.Target != e.cfg.Node,
	}, link)
}

// storeError gives a failure of the state directory its reason.
func storeError(err error, node transfer.NodeID) *transfer.Error {
	t := &transfer.Error{Reason: transfer.Internal, Side: transfer.SideOwner, Phase: transfer.PhaseFinish, Node: node, Err: fmt.Errorf("state of the node: %w", err)}
	if errors.Is(err, store.ErrNoSpace) {
		t.Reason, t.Hint = transfer.StateNoSpace, "free space on the file system of state_dir"
	}
	if _, failed := errors.AsType[*store.FailedError](err); failed {
		t.Reason = transfer.NodeStopping // it ends for that, and may come back
	}
	return t
}

// asError returns err as an Error of this node where it is none yet.
func asError(err error, node transfer.NodeID) *transfer.Error {
	if e, ok := errors.AsType[*transfer.Error](err); ok {
		return e
	}
	e := &transfer.Error{Reason: transfer.Internal, Side: transfer.SideOwner, Node: node, Err: err}
	if errors.Is(err, context.Canceled) {
		e.Reason = transfer.Cancelled
	}
	return e
}
