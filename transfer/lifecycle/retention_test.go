package lifecycle

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/xferd/xferd/transfer"
)

// An id stands for its transfer as long as that is remembered, and for a new one
// afterwards. What has not ended is never forgotten.
func TestP4IDIsFreeAfterTheRetention(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		defer r.stop()
		r.e.SetLimits(Limits{MaxRunning: 2, MaxQueued: 10, Retention: 4 * time.Hour})
		first := r.submit("a")
		(<-r.edges).end <- good
		r.want("a", transfer.StateSucceeded)
		waiting := r.submit("b")
		<-r.edges // it goes on moving, and is paused
		if _, err := r.e.Pause(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}

		time.Sleep(3 * time.Hour)
		again, existed, err := r.e.Submit(t.Context(), r.submission("a"))
		if err != nil || !existed || again.UID != first.UID {
			t.Errorf("within the retention: existed %v, %v", existed, err)
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if _, err := r.e.Get(t.Context(), "a"); transfer.ReasonOf(err) != transfer.TransferNotFound {
			t.Errorf("after the retention: %v", err)
		}
		if got, err := r.e.Get(t.Context(), "b"); err != nil || got.UID != waiting.UID {
			t.Errorf("one that has not ended: %v", err)
		}
		if third := r.submit("a"); third.UID == first.UID {
			t.Error("the id still stands for the transfer that was forgotten")
		}
		(<-r.edges).end <- good
		r.want("a", transfer.StateSucceeded)
	})
}
