package lifecycle

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/sender"
)

func (r *rig) noEdge() {
	r.t.Helper()
	synctest.Wait()
	select {
	case f := <-r.edges:
		r.t.Fatalf("an edge of %s was opened", f.job.ID)
	default:
	}
}

// A transfer that cannot reach its target leaves its place to others, and goes
// on only when it has one again.
func TestWaitingTransferHasNoPlace(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRigLimit(t, dir, 1)
		defer r.stop()
		r.submit("a")
		(<-r.edges).end <- lost
		synctest.Wait()
		r.submit("b")
		b := <-r.edges
		if b.job.ID != "b" {
			t.Fatalf("%s runs", b.job.ID)
		}
		time.Sleep(5 * time.Second) // of the bubble: the back-off of a is long over
		r.noEdge()
		r.submit("c") // younger than a
		b.end <- good
		r.want("b", transfer.StateSucceeded)
		a := <-r.edges
		if a.job.ID != "a" {
			t.Fatalf("%s goes on before a", a.job.ID)
		}
		r.noEdge()
		a.end <- good
		r.want("a", transfer.StateSucceeded)
		(<-r.edges).end <- good
		r.want("c", transfer.StateSucceeded)
	})
}

// Whatever is asked of a transfer that waits for a place happens at once.
func TestAskedWithoutAPlace(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRigLimit(t, dir, 1)
		defer r.stop()
		r.submit("a")
		(<-r.edges).end <- lost
		synctest.Wait()
		r.submit("b")
		b := <-r.edges
		time.Sleep(5 * time.Second)
		if _, err := r.e.Cancel(t.Context(), "a", false, ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(releaseTimeout + time.Second)
		r.want("a", transfer.StateCancelled)
		b.end <- good
		r.want("b", transfer.StateSucceeded)
	})
}

// The time without a place is not time without progress, but it is time before
// the deadline.
func TestPatienceWithoutAPlace(t *testing.T) {
	for _, c := range []struct {
		name     string
		deadline time.Duration
		want     transfer.State
	}{
		{"patience", 0, transfer.StateRunning},
		{"deadline", 20 * time.Minute, transfer.StateFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, dir string) {
				r := newRigLimit(t, dir, 1)
				defer r.stop()
				s := r.submission("a")
				if c.deadline > 0 {
					s.Spec.Deadline = time.Now().Add(c.deadline)
				}
				if _, _, err := r.e.Submit(t.Context(), s); err != nil {
					t.Fatal(err)
				}
				(<-r.edges).end <- lost
				synctest.Wait()
				r.submit("b")
				b := <-r.edges
				for i := range int64(30) {
					time.Sleep(time.Minute)
					b.obs.Progress(sender.Progress{BytesDone: i + 1})
				}
				r.want("a", c.want)
				b.end <- good
				r.want("b", transfer.StateSucceeded)
				if c.deadline > 0 {
					got, _ := r.e.Get(t.Context(), "a")
					if got.Err == nil || got.Err.Reason != transfer.DeadlineExceeded {
						t.Errorf("a ended with %v", got.Err)
					}
					return
				}
				a := <-r.edges
				a.end <- func() (sender.Summary, error) { return sender.Summary{}, errors.New("over") }
				r.want("a", transfer.StateFailed)
			})
		})
	}
}

// A watcher is told of each change once, in order, also among many that ended.
func TestChangesInOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		defer r.stop()
		ids := []string{"a", "b", "c"}
		for _, id := range ids {
			r.submit(id)
			(<-r.edges).end <- good
			r.want(id, transfer.StateSucceeded)
		}
		all, mark, err := r.e.Changes(t.Context(), transfer.Query{}, transfer.Mark{State: r.e.cfg.Store.StateUUID()})
		if err != nil || len(all) != 3 {
			t.Fatalf("%d changes, %v", len(all), err)
		}
		for i, id := range ids {
			if all[i].ID != id {
				t.Errorf("change %d is of %s", i, all[i].ID)
			}
		}
		r.submit("d")
		(<-r.edges).end <- good
		r.want("d", transfer.StateSucceeded)
		all, _, err = r.e.Changes(t.Context(), transfer.Query{}, mark)
		if err != nil || len(all) != 1 || all[0].ID != "d" {
			t.Fatalf("%v, %v", all, err)
		}
		if n := len(r.e.liveJobs()); n != 0 {
			t.Errorf("%d are not over", n)
		}
	})
}
