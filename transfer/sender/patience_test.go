package sender

import (
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/xferd/xferd/test/bubble"
	"github.com/xferd/xferd/transfer"
)

// short lets the first opens of large sources find no descriptor.
func short(r *rig, opens int64) *atomic.Int64 {
	var left atomic.Int64
	left.Store(opens)
	r.edge.files.patient = func(open func() error) error {
		return r.edge.patient(func() error {
			if left.Add(-1) >= 0 {
				return syscall.EMFILE
			}
			return open()
		})
	}
	return &left
}

// Descriptors that come back in time are no failure.
func TestDescriptorsAreWaitedFor(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRig(t, map[string]int{"f": 3 * mib, "g": 2 * mib}, nil)
		left := short(r, 9)
		r.run()
		r.outcome("f", transfer.OutcomePublished, "")
		r.outcome("g", transfer.OutcomePublished, "")
		if left.Load() > 0 {
			t.Error("no open was held up")
		}
	})
}

// Where they do not, it is the attempt that fails, for a reason that passes, and
// not the file.
func TestNoDescriptorsEndTheAttempt(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRig(t, map[string]int{"f": 3 * mib}, nil)
		short(r, 1<<40)
		start := time.Now()
		_, err := r.edge.Run(t.Context())
		if reason := transfer.ReasonOf(err); reason != transfer.LocalFDLimit || !reason.Transient() {
			t.Fatalf("error %v", err)
		}
		if d := time.Since(start); d < filesPatience || d > 3*filesPatience {
			t.Errorf("after %v", d)
		}
		if n := count[*transfer.EntryGiveUp](r.target) + count[*transfer.Abort](r.target); n != 0 {
			t.Errorf("the target was told to give up %d times", n)
		}
	})
}

// A stop does not wait for descriptors.
func TestStopWhileDescriptorsAreWaitedFor(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRig(t, map[string]int{"f": 3 * mib}, nil)
		short(r, 1<<40)
		start := time.Now()
		go func() {
			time.Sleep(time.Second)
			r.edge.Stop(transfer.EndPause)
		}()
		r.fails(transfer.Cancelled)
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("after %v", d)
		}
	})
}
