package lifecycle

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/xferd/xferd/internal/failpoint"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/sender"
)

const (
	firstBackoff  = 200 * time.Millisecond
	maxBackoff    = 30 * time.Second
	progressEvery = 200 * time.Millisecond
)

// run drives a job until it is over, paused, or ctx ends (the node stops).
func (j *job) run(ctx context.Context) {
	w := &watchdog{limit: func() time.Duration { return j.e.limits.Load().Stall }, spare: j.idle}
	w.feed()
	for failures := 0; ; {
		switch t := j.current(); t.State {
		case transfer.StateRunning, transfer.StatePausing:
		case transfer.StateCancelling:
			if j.release(ctx); ctx.Err() != nil {
				return
			}
			continue
		default:
			return
		}
		moved, err := j.attempt(ctx, w)
		busy := transfer.ReasonOf(err) == transfer.NodeBusy
		if busy {
			w.feed() // the target is there and says that its turn comes
		}
		if ctx.Err() != nil {
			// The node stops: the state stays as it is and is taken up at the
			// next start.
			return
		}
		if j.conclude(ctx, err) {
			return
		}
		if j.current().State == transfer.StateCancelling {
			continue
		}
		if moved {
			failures = 0
		}
		w.attempted(moved || busy)
		failures++
		j.vacate()
		j.wait(ctx, w, failures)
		j.seek(ctx, w)
		if ctx.Err() != nil {
			return
		}
	}
}

// attempt runs one edge and merges what it did. The error is nil when the edge
// came to its end; then the result was stored. moved tells whether anything
// progressed.
func (j *job) attempt(ctx context.Context, w *watchdog) (moved bool, err error) {
	t := j.current()
	if err := w.expired(&t); err != nil {
		return false, err
	}
	// It is stored with what follows from the attempt, or with the epoch.
	_ = j.edit(ctx, false, func(t *transfer.Transfer) { t.Counters.Attempts++ })
	if err := j.e.releases.clear(ctx, &t.Spec); err != nil {
		return false, err
	}
	link, err := j.e.cfg.Peers.OpenTarget(ctx, t.Spec.Target)
	if err != nil {
		return false, err
	}
	defer link.Close()
	var held bool
	if err := j.edit(ctx, true, func(t *transfer.Transfer) {
		t.Epoch++
		held, j.holds = j.holds, true
	}); err != nil {
		return false, err
	}
	t = j.current()
	failpoint.Hit("lifecycle/attempt")
	obs, err := newObserver(j, w)
	if err != nil {
		return false, storeError(err, j.e.cfg.Node)
	}
	edge := j.e.cfg.NewEdge(j.sendJob(&t), link, obs)
	stop := obs.start(ctx, func(err *transfer.Error) {
		w.give(err)
		edge.Stop(transfer.EndCancel)
	})
	j.setEdge(edge)
	began := time.Now()
	summary, runErr := edge.Run(ctx)
	failpoint.Hit("lifecycle/edge-over")
	took := time.Since(began)
	j.setEdge(nil)
	stop()
	j.learn(held, &summary, runErr)
	defer j.setCommitted(false)
	if runErr == nil {
		// Everything is at the target. What is missing is the record of it.
		_ = j.hold(ctx, w, obs.settle)
	}
	if err := obs.close(); err != nil {
		return obs.moved(), storeError(err, j.e.cfg.Node)
	}
	if e := w.given(); e != nil && runErr != nil {
		if summary.Unanswered != "" {
			said := *e
			said.Err = fmt.Errorf("%w; %s", e.Err, summary.Unanswered)
			e = &said
		}
		return obs.moved(), e
	}
	if runErr != nil {
		return obs.moved(), runErr
	}
	failpoint.Hit("lifecycle/finishing")
	state, end := obs.ending(&summary)
	if t.Spec.Mode == transfer.ModeVerify && end != nil {
		state, end = transfer.StateFailed, cmp.Or(summary.TargetErr, end)
	}
	return true, j.hold(ctx, w, func() error {
		_, err := j.stepTo(ctx, evDone, state, func(t *transfer.Transfer) {
			t.Err = end
			obs.digests(t)
			t.Counters.Deleted += summary.Deleted
			t.Path.Target = summary.TargetStats
			if !t.Spec.Prepared { // which mostly waits for its program
				t.Path.Bottleneck = bottleneck(&t.Path, took, j.e.limits.Load().rate(t.Spec.MaxRate))
			}
			t.Path.Weaken(summary.Checked)
		})
		return err
	})
}

func (j *job) sendJob(t *transfer.Transfer) sender.Job {
	return sender.Job{
		Spec: t.Spec, ID: t.ID, UID: t.UID, StateUUID: j.e.cfg.Store.StateUUID(), Epoch: t.Epoch,
		TargetDistinct: t.Spec.Target != j.e.cfg.Node, Mismatches: t.Counters.Mismatches,
	}
}

// decide returns how a transfer ends whose edge ran to its end: good entries
// were published or the same already, failed ones were not.
func decide(good, failed int64, s *sender.Summary) (transfer.State, *transfer.Error) {
	err := s.TargetErr
	if failed = max(failed, s.Failed, s.ScanErrors); failed > 0 {
		if first := s.FirstFailure; first != nil && (failed == 1 && !aboutDeletion(err) || good == 0) {
			err = first
		} else if err == nil {
			err = &transfer.Error{
				Reason: transfer.PartialFailure, Side: transfer.SideOwner, Phase: transfer.PhaseFinish,
				Err:  fmt.Errorf("%d entries failed", failed),
				Hint: "see which and why with: xferctl transfers show",
			}
		}
	}
	switch {
	case err == nil:
		return transfer.StateSucceeded, nil
	case good > 0:
		return transfer.StatePartial, err
	}
	return transfer.StateFailed, err
}

// aboutDeletion says that a failure of the whole tells what became of a deletion,
// which no failure of an entry does.
func aboutDeletion(err *transfer.Error) bool {
	return err != nil && (err.Reason == transfer.MaxDelete || err.Reason == transfer.DeleteSuppressed)
}

// conclude decides what follows an attempt and reports whether the job is over
// or parked.
func (j *job) conclude(ctx context.Context, err error) bool {
	if err == nil {
		return true
	}
	e := asError(err, j.e.cfg.Node)
	t := j.current()
	on := follow(t.State, j.owes(), e)
	if on == 0 {
		return false
	}
	if _, region := t.Spec.IntoRegion(); region && on == evFail && j.owes() {
		if j.tellFirst(ctx); ctx.Err() != nil { // a failure is an end as well
			return false
		}
	}
	to, stepErr := j.step(ctx, on, func(t *transfer.Transfer) {
		switch {
		case on == evRetry:
			t.WaitingReason, t.WaitingDetail = e.Reason, e.Error()
		case t.State == transfer.StateCancelled: // a cancel may have come this moment
			j.cancelled(t)
		case on == evFail:
			t.Err = e
		}
	})
	if stepErr != nil {
		// Full state disk: it is tried again, since the files are at the target
		// and only the record of it is missing. A failed store ends Run.
		j.e.cfg.Log.Error("store the state of a transfer", "transfer", j.id, "err", stepErr)
		if on == evRetry {
			j.showWait(ctx, e)
		}
		return false
	}
	return to != transfer.StateRunning && to != transfer.StateCancelling
}

// cancelled puts the reason of a cancelled transfer in.
func (j *job) cancelled(t *transfer.Transfer) {
	t.Err = &transfer.Error{
		Reason: transfer.Cancelled, Side: transfer.SideOwner, Node: j.e.cfg.Node,
		Err:  fmt.Errorf("cancelled"),
		Hint: goesOn(t, "running the same command again"),
	}
	if j.purge {
		t.Err = anew(t.Err)
	}
}

// backoff is how long to wait after so many failures in a row, at least 1.
func backoff(failures int) time.Duration {
	d := min(maxBackoff, firstBackoff<<min(failures-1, 10))
	return d/2 + rand.N(d/2+1)
}

// wait holds the next attempt off, with jitter so that the transfers of a node
// that came back do not all rush to it, until the back-off is over, a node
// joins, or something is asked of the job.
func (j *job) wait(ctx context.Context, w *watchdog, failures int) {
	d := backoff(failures)
	t := j.current()
	if t.WaitingReason == transfer.StateNoSpace {
		d = min(d, mostHold) // asking costs nothing
	}
	if left, ok := w.left(&t); ok && left < d {
		d = left
	}
	_ = j.edit(ctx, false, func(t *transfer.Transfer) { t.NextAttempt = time.Now().Add(d) })
	j.logWait(d)
	timer := time.NewTimer(d)
	defer timer.Stop()
	joined := j.e.cfg.Peers.Joined()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-joined:
			return
		case <-j.nudge:
			if j.current().State != transfer.StateRunning {
				return
			}
		}
	}
}
