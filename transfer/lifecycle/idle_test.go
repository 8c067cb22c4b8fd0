package lifecycle

import (
	"testing"
	"time"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/sender"
)

// Attempts that only find again what was done before are no progress, however
// much there is to find; one that gains a file starts the patience anew.
func TestRepeatingIsNoProgress(t *testing.T) {
	for _, c := range []struct {
		name  string
		gains bool
		want  transfer.State
	}{{"nothing new", false, transfer.StateFailed}, {"a file each time", true, transfer.StateRunning}} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, dir string) {
				r := newRig(t, dir)
				defer r.stop()
				r.submit("a")
				r.want("a", transfer.StateRunning)
				began := time.Now()
				for n := 0; time.Since(began) < 30*time.Minute && r.state("a") == transfer.StateRunning; n++ {
					var f *fakeEdge
					select {
					case f = <-r.edges:
					case <-time.After(time.Minute):
						continue
					}
					f.obs.Progress(sender.Progress{Entries: 2, Files: 2, ScanDone: true})
					res := transfer.Result{Entry: 0, Path: "f", Kind: transfer.KindFile, Outcome: transfer.OutcomeSame}
					if n == 0 || c.gains {
						res.Outcome, res.Path = transfer.OutcomePublished, "f"+string(rune('a'+n))
					}
					f.obs.Result(res)
					time.Sleep(20 * time.Second) // so many attempts are enough
					f.end <- lost
				}
				r.want("a", c.want)
				if got, _ := r.e.Get(t.Context(), "a"); !c.gains && (got.Err == nil || got.Err.Reason != transfer.Stalled) {
					t.Errorf("ended with %v", got.Err)
				}
			})
		})
	}
}
