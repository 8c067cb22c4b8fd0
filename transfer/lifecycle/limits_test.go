package lifecycle

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/xferd/xferd/transfer"
)

// New limits hold for what waits and for what runs.
func TestSetLimits(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRigLimit(t, dir, 1)
		defer r.stop()
		asks := func(id string, rate int64) {
			t.Helper()
			s := r.submission(id)
			s.Spec.MaxRate, s.Spec.Policy = rate, transfer.PolicyAuto
			if _, _, err := r.e.Submit(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		wants := func(id string, rate int64) {
			t.Helper()
			if got, _ := r.e.Get(t.Context(), id); got.Spec.MaxRate != rate {
				t.Errorf("%s: rate %d, want %d", id, got.Spec.MaxRate, rate)
			}
		}
		asks("a", 0)
		asks("b", 100)
		edge := <-r.edges
		r.want("b", transfer.StateQueued)

		r.e.SetLimits(Limits{MaxRunning: 2, MaxQueued: 1, MaxRate: 50, Policy: transfer.PolicyTCP})
		other := <-r.edges
		r.want("b", transfer.StateRunning)
		if edge.rate != 50 || other.job.Spec.MaxRate != 50 {
			t.Errorf("rates %d and %d", edge.rate, other.job.Spec.MaxRate)
		}
		wants("a", 50)
		wants("b", 50)
		asks("c", 10)
		wants("c", 10)
		if got, _ := r.e.Get(t.Context(), "c"); got.Spec.Policy != transfer.PolicyTCP {
			t.Errorf("policy %s", got.Spec.Policy)
		}
		if _, _, err := r.e.Submit(t.Context(), r.submission("d")); transfer.ReasonOf(err) != transfer.QueueFull {
			t.Errorf("over the limit: %v", err)
		}

		// Lifted, each gets what it asked for; an end is not rewritten.
		other.end <- good
		r.want("b", transfer.StateSucceeded)
		r.e.SetLimits(Limits{MaxRunning: 1, MaxQueued: 5, Stall: time.Second})
		if edge.rate != 0 {
			t.Errorf("rate %d", edge.rate)
		}
		wants("a", 0)
		wants("b", 50)
		got, err := r.e.Wait(t.Context(), "a")
		if err != nil || got.Err.Reason != transfer.Stalled {
			t.Errorf("%v, %v", got.Err, err)
		}
	})
}
