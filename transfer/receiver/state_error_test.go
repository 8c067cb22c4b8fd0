package receiver

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/transfer"
)

// TestStateErrors: a full state is for a person to mend; one that failed ends the
// daemon, and the owner waits for the next one.
func TestStateErrors(t *testing.T) {
	g := newRig(t)
	for _, test := range []struct {
		err       error
		reason    transfer.Reason
		transient bool
	}{
		{fmt.Errorf("x: %w", store.ErrNoSpace), transfer.StateNoSpace, false},
		{&store.FailedError{Err: syscall.EIO}, transfer.NodeStopping, true},
		{store.ErrClosed, transfer.NodeStopping, true},
	} {
		for _, got := range []error{stateError(test.err), g.storeRefusal(test.err)} {
			if r := transfer.ReasonOf(got); r != test.reason || r.Transient() != test.transient {
				t.Errorf("%v: %v has the reason %s", test.err, got, r)
			}
		}
	}
}
