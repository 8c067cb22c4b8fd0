package lifecycle

import (
	"context"
	"time"

	"github.com/xferd/xferd/transfer"
)

// mostHold is how long a transfer that waits for room in a state directory rests
// between two tries.
const mostHold = 2 * time.Second

// hold calls note, which stores how an attempt came to its end, until there is room
// for it in the state directory: everything is done, and the transfer shows that it
// waits. Patience or deadline, an operation, and the end of ctx end the wait. Its
// error is the last one of note.
func (j *job) hold(ctx context.Context, w *watchdog, note func() error) error {
	var err error
	for wait := firstBackoff; ; wait = min(2*wait, mostHold) {
		if err = note(); transfer.ReasonOf(err) != transfer.StateNoSpace {
			return err
		}
		j.showWait(ctx, asError(err, j.e.cfg.Node))
		j.logWait(wait)
		t := j.current()
		if w.expired(&t) != nil || !j.rests(ctx, wait) {
			return err
		}
	}
}

// showWait shows what a running transfer waits for; it is stored when there is room.
func (j *job) showWait(ctx context.Context, e *transfer.Error) {
	_ = j.edit(ctx, false, func(t *transfer.Transfer) {
		if t.State == transfer.StateRunning {
			t.WaitingReason, t.WaitingDetail = e.Reason, e.Error()
		}
	})
}

// rests waits, and reports whether nothing was asked of the job meanwhile.
func (j *job) rests(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-j.nudge:
			if j.current().State != transfer.StateRunning {
				return false
			}
		}
	}
}
