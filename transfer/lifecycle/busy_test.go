package lifecycle

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xferd/xferd/transfer"
)

// A target that has no place now answers, so that nothing is stalled: the
// transfer waits beyond the stall timeout, says why, and begins when it may.
func TestBusyTargetIsWaitedFor(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		defer r.stop()
		r.peers.fail(&transfer.Error{Reason: transfer.NodeBusy, Err: errors.New("64 transfers come in already")})
		r.submit("a")
		time.Sleep(time.Hour)
		synctest.Wait()
		got, err := r.e.Get(t.Context(), "a")
		if err != nil || got.State != transfer.StateRunning || got.WaitingReason != transfer.NodeBusy {
			t.Fatalf("%s, waiting for %q, %v", got.State, got.WaitingReason, err)
		}
		r.peers.fail(nil)
		time.Sleep(time.Minute)
		r.want("a", transfer.StateRunning)
		if got, _ := r.e.Get(t.Context(), "a"); got.Epoch != 1 {
			t.Errorf("it did not begin: epoch %d", got.Epoch)
		}
	})
}
