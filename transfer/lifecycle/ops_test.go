package lifecycle

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/sender"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPauseResumeCancel(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		defer r.stop()
		r.submit("a")
		edge := <-r.edges
		if _, err := r.e.Resume(t.Context(), "a"); err != nil {
			t.Fatalf("resume of a running transfer: %v", err)
		}
		if _, err := r.e.Pause(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		r.want("a", transfer.StatePaused)
		if end := string(rune('0' + transfer.EndPause)); edge.job.Epoch != 1 || end != "1" {
			t.Fatal("the edge was not stopped to pause")
		}
		if _, err := r.e.Resume(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		<-r.edges
		r.want("a", transfer.StateRunning)
		got, err := r.e.Cancel(t.Context(), "a", false, "uid:7")
		if err != nil || got.State != transfer.StateCancelling && got.State != transfer.StateCancelled {
			t.Fatalf("cancel: %s, %v", got.State, err)
		}
		r.want("a", transfer.StateCancelled)
		got, err = r.e.Cancel(t.Context(), "a", false, "")
		if err != nil || got.CancelledBy != "uid:7" || got.Err == nil || got.Err.Reason != transfer.Cancelled {
			t.Fatalf("second cancel: %+v, %v", got, err)
		}
		if _, err := r.e.Pause(t.Context(), "a"); transfer.ReasonOf(err) != transfer.AlreadyFinished {
			t.Fatalf("pause after the end: %v", err)
		}
	})
}

func TestCancelOfQueuedNeedsNoTarget(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRigLimit(t, dir, 1)
		defer r.stop()
		r.submit("a")
		<-r.edges
		r.submit("b")
		r.want("b", transfer.StateQueued)
		if _, err := r.e.Cancel(t.Context(), "b", false, ""); err != nil {
			t.Fatal(err)
		}
		r.want("b", transfer.StateCancelled)
		if r.peers.opens != 1 {
			t.Errorf("%d links were opened, want that of the first transfer alone", r.peers.opens)
		}
	})
}

func TestTransientFailuresAreRetriedWithBackoff(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		defer r.stop()
		start := time.Now()
		r.submit("a")
		for range 5 {
			(<-r.edges).end <- lost
			synctest.Wait()
			got, _ := r.e.Get(t.Context(), "a")
			if got.State != transfer.StateRunning || got.WaitingReason != transfer.PeerLost || got.NextAttempt.IsZero() {
				t.Fatalf("while waiting: %s, %s, %v", got.State, got.WaitingReason, got.NextAttempt)
			}
		}
		(<-r.edges).end <- good
		r.want("a", transfer.StateSucceeded)
		if waited := time.Since(start); waited < 500*time.Millisecond || waited > 10*time.Second {
			t.Errorf("five failures cost %v", waited)
		}
	})
}

func TestStallEndsATransferWithoutDeadline(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		defer r.stop()
		r.peers.fail(&transfer.Error{Reason: transfer.PeerUnreachable, Err: errors.New("no route")})
		start := time.Now()
		r.submit("a")
		got, err := r.e.Wait(t.Context(), "a")
		if err != nil || got.State != transfer.StateFailed || got.Err.Reason != transfer.Stalled {
			t.Fatalf("%s, %v, %v", got.State, got.Err, err)
		}
		if d := time.Since(start); d < 10*time.Minute || d > 11*time.Minute {
			t.Errorf("gave up after %v", d)
		}
	})
}

func TestSilentEdgeIsStopped(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		defer r.stop()
		r.submit("a") // its edge never moves
		got, err := r.e.Wait(t.Context(), "a")
		if err != nil || got.State != transfer.StateFailed || got.Err.Reason != transfer.Stalled {
			t.Fatalf("%s, %v, %v", got.State, got.Err, err)
		}
	})
}

func TestDeadline(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		defer r.stop()
		s := r.submission("a")
		s.Spec.Deadline = time.Now().Add(time.Minute)
		if _, _, err := r.e.Submit(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		got, err := r.e.Wait(t.Context(), "a")
		if err != nil || got.State != transfer.StateFailed || got.Err.Reason != transfer.DeadlineExceeded {
			t.Fatalf("%s, %v, %v", got.State, got.Err, err)
		}
	})
}

// A deadline holds in every state, not only while something moves.
func TestDeadlineWhileQueuedAndPaused(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRigLimit(t, dir, 1)
		defer r.stop()
		r.submit("first") // takes the only place
		<-r.edges
		for _, id := range []string{"queued", "paused"} {
			s := r.submission(id)
			s.Spec.Deadline = time.Now().Add(time.Minute)
			if _, _, err := r.e.Submit(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.e.Pause(t.Context(), "paused"); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"queued", "paused"} {
			got, err := r.e.Wait(t.Context(), id)
			if err != nil || got.State != transfer.StateFailed || got.Err.Reason != transfer.DeadlineExceeded {
				t.Errorf("%s: %s, %v, %v", id, got.State, got.Err, err)
			}
		}
	})
}

func TestPermanentFailureEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		defer r.stop()
		r.submit("a")
		(<-r.edges).end <- func() (sender.Summary, error) {
			return sender.Summary{}, &transfer.Error{Reason: transfer.DestBusy, Err: errors.New("busy")}
		}
		r.want("a", transfer.StateFailed)
	})
}

func TestDecide(t *testing.T) {
	one := &transfer.Error{Reason: transfer.SourceChanged}
	for _, c := range []struct {
		name         string
		good, failed int64
		s            sender.Summary
		state        transfer.State
		reason       transfer.Reason
	}{
		{"all good", 3, 0, sender.Summary{}, transfer.StateSucceeded, ""},
		{"nothing to do", 0, 0, sender.Summary{}, transfer.StateSucceeded, ""},
		{"one of many failed", 3, 1, sender.Summary{FirstFailure: one}, transfer.StatePartial, transfer.SourceChanged},
		{"some failed", 3, 2, sender.Summary{FirstFailure: one}, transfer.StatePartial, transfer.PartialFailure},
		{"all failed", 0, 2, sender.Summary{FirstFailure: one}, transfer.StateFailed, transfer.SourceChanged},
		{"one failed, nothing deleted", 3, 1, sender.Summary{FirstFailure: one, TargetErr: &transfer.Error{Reason: transfer.DeleteSuppressed}}, transfer.StatePartial, transfer.DeleteSuppressed},
		{"too many deletions", 3, 0, sender.Summary{TargetErr: &transfer.Error{Reason: transfer.MaxDelete}}, transfer.StatePartial, transfer.MaxDelete},
	} {
		state, err := decide(c.good, c.failed, &c.s)
		if reason := transfer.Reason(""); state != c.state || (err != nil) != (c.reason != "") || err != nil && err.Reason != c.reason {
			t.Errorf("%s: %s, %v%s", c.name, state, err, reason)
		}
	}
}

func TestQueueLimitAndSources(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRigLimit(t, dir, 1)
		defer r.stop()
		for _, id := range []string{"a", "b", "c", "d", "e", "f"} {
			r.submit(id)
			synctest.Wait()
		}
		if _, _, err := r.e.Submit(t.Context(), r.submission("g")); transfer.ReasonOf(err) != transfer.QueueFull {
			t.Errorf("over the limit: %v", err)
		}
		s := r.submission("h")
		s.Spec.Sources[0].Path += "-not-there"
		if _, _, err := r.e.Submit(t.Context(), s); transfer.ReasonOf(err) != transfer.SourceNotFound {
			t.Errorf("missing source: %v", err)
		}
		s.Spec.Sources[0].Path = "/etc/passwd"
		if _, _, err := r.e.Submit(t.Context(), s); transfer.ReasonOf(err) != transfer.PathNotAllowed {
			t.Errorf("outside the exports: %v", err)
		}
	})
}

func TestChangesTellEveryEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		defer r.stop()
		_, mark, err := r.e.List(t.Context(), transfer.Query{}, transfer.Position{}, 10)
		if err != nil {
			t.Fatal(err)
		}
		r.submit("a")
		(<-r.edges).end <- good
		r.want("a", transfer.StateSucceeded)
		got, next, err := r.e.Changes(t.Context(), transfer.Query{}, mark)
		if err != nil || len(got) != 1 || got[0].State != transfer.StateSucceeded {
			t.Fatalf("%v, %v", got, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got, _, err := r.e.Changes(ctx, transfer.Query{}, next); err != nil || len(got) != 0 {
			t.Fatalf("after the last change: %v, %v", got, err)
		}
		next.Revision++
		if _, _, err := r.e.Changes(t.Context(), transfer.Query{}, next); transfer.ReasonOf(err) != transfer.Compacted {
			t.Fatalf("mark of the future: %v", err)
		}
	})
}

// A cancel that comes when the edge came to its end, and only the record of that is
// missing, is refused; one that came before ends by what the target did.
func TestCancelAfterTheTargetHasDoneEverything(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		defer r.stop()
		r.submit("a")
		edge := <-r.edges
		j, err := r.e.job("a")
		if err != nil {
			t.Fatal(err)
		}
		j.learn(false, &sender.Summary{}, nil) // as attempt does after the edge's end
		got, err := r.e.Cancel(t.Context(), "a", false, "")
		if transfer.ReasonOf(err) != transfer.AlreadyCommitted || got.State != transfer.StateRunning {
			t.Errorf("between the end and its record: %s, %v", got.State, err)
		}
		edge.end <- good
		r.want("a", transfer.StateSucceeded)
		if _, err := r.e.Cancel(t.Context(), "a", false, ""); transfer.ReasonOf(err) != transfer.AlreadyFinished {
			t.Errorf("after it: %v", err)
		}
	})
}
