package lifecycle

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/xferd/xferd/transfer"
)

// watchdog ends a transfer that is past its deadline, or that made no progress
// for too long.
type watchdog struct {
	limit func() time.Duration
	spare func() bool // nothing is to be done; nil: there always is

	mu   sync.Mutex
	last time.Time // of the latest progress
	idle time.Time // when the first attempt ended, of those that gained nothing; or zero
	err  *transfer.Error
}

// feed notes progress.
func (w *watchdog) feed() {
	w.mu.Lock()
	w.last = time.Now()
	w.mu.Unlock()
}

// attempted notes that an attempt failed. Within one, looking through a tree
// again is progress, since that may take long; but attempts that gain nothing
// have together as much patience as one of them.
func (w *watchdog) attempted(gained bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case gained:
		w.idle = time.Time{}
	case w.idle.IsZero():
		w.idle = time.Now()
	default:
		w.last = w.idle
	}
}

// excuse takes time off that does not count as without progress.
func (w *watchdog) excuse(d time.Duration) {
	w.mu.Lock()
	w.last = w.last.Add(d)
	if !w.idle.IsZero() {
		w.idle = w.idle.Add(d)
	}
	w.mu.Unlock()
}

// left returns how long it is until expired will fail.
func (w *watchdog) left(t *transfer.Transfer) (time.Duration, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t.Spec.Deadline.IsZero() {
		return max(0, w.limit()-time.Since(w.last)), true
	}
	return max(0, time.Until(t.Spec.Deadline)), true
}

// expired returns why the transfer has to end now, or nil. With a deadline the
// deadline alone decides: whoever set one wants it to be tried until then.
func (w *watchdog) expired(t *transfer.Transfer) *transfer.Error {
	if left, _ := w.left(t); left > 0 {
		return nil
	}
	if !t.Spec.Deadline.IsZero() {
		return &transfer.Error{
			Reason: transfer.DeadlineExceeded, Side: transfer.SideOwner, Node: t.Owner,
			Err:  errors.New("the deadline " + t.Spec.Deadline.UTC().Format(time.RFC3339) + " passed"),
			Hint: goesOn(t, "running the same command again with a later deadline"),
		}
	}
	if w.spare != nil && w.spare() {
		return idleFor(t, w.limit())
	}
	detail := ""
	if t.WaitingDetail != "" {
		detail = ": " + t.WaitingDetail
	}
	return &transfer.Error{
		Reason: transfer.Stalled, Side: transfer.SideOwner, Node: t.Owner,
		Err:  fmt.Errorf("no progress for %v%s", w.limit(), detail),
		Hint: goesOn(t, "when the cause is mended, running the same command again"),
	}
}

// give notes the error that ends the transfer; the first one stays.
func (w *watchdog) give(err *transfer.Error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
}

func (w *watchdog) given() *transfer.Error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
