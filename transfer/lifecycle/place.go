package lifecycle

import (
	"context"
	"time"

	"github.com/xferd/xferd/transfer"
)

// A running transfer that waits for its next attempt has no place among
// limits.transfers: what cannot reach its target must not hold up what could go
// somewhere else. It asks for one again before it goes on, and is chosen among
// the queued ones, as the old transfer that it is.
const (
	placed  int32 = iota
	away          // it waits, and needs no place
	seeking       // it would go on
)

// vacate gives the place to others.
func (j *job) vacate() {
	j.place.Store(away)
	j.e.poke()
}

// seek waits for a place. It returns at once when something was asked of the
// job: what it does then is short. The patience of w does not run meanwhile.
func (j *job) seek(ctx context.Context, w *watchdog) {
	select {
	case <-j.seat: // of a time when it went without
	default:
	}
	j.place.Store(seeking)
	j.e.poke()
	began := time.Now()
	var late <-chan time.Time
	if t := j.current(); !t.Spec.Deadline.IsZero() {
		timer := time.NewTimer(time.Until(t.Spec.Deadline))
		defer timer.Stop()
		late = timer.C
	}
	for waiting := j.current().State == transfer.StateRunning; waiting; {
		select {
		case <-ctx.Done():
			waiting = false
		case <-j.seat:
			waiting = false
		case <-late:
			waiting = false
		case <-j.nudge:
			waiting = j.current().State == transfer.StateRunning
		}
	}
	j.place.Store(placed)
	w.excuse(time.Since(began))
}

// seated gives a place to a job that seeks one, and reports whether it did.
func (j *job) seated() bool {
	if !j.place.CompareAndSwap(seeking, placed) {
		return false
	}
	select {
	case j.seat <- struct{}{}:
	default:
	}
	return true
}
