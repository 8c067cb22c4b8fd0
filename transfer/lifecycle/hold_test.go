package lifecycle

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/test/needs"
	"github.com/xferd/xferd/transfer"
)

// What a target waits for is shown, its end too, and patience holds for both.
func TestWaitOfTheTargetIsShown(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		defer r.stop()
		r.submit("a")
		edge := <-r.edges
		edge.obs.Opened(&transfer.Opened{})
		want := func(reason transfer.Reason) {
			t.Helper()
			time.Sleep(time.Second)
			synctest.Wait()
			if got, _ := r.e.Get(t.Context(), "a"); got.State != transfer.StateRunning || got.WaitingReason != reason || (got.WaitingDetail != "") != (reason != "") {
				t.Errorf("%s, waiting for %q %q, want %q", got.State, got.WaitingReason, got.WaitingDetail, reason)
			}
		}
		full := &transfer.Error{Reason: transfer.StateNoSpace, Side: transfer.SideTarget, Node: "n2", Err: errors.New("full")}
		edge.obs.Waiting(full)
		want(transfer.StateNoSpace)
		edge.obs.Waiting(nil)
		want("")
		edge.obs.Waiting(full)
		got, err := r.e.Wait(t.Context(), "a")
		if err != nil || got.State != transfer.StateFailed || got.Err.Reason != transfer.Stalled {
			t.Errorf("without progress: %s, %v, %v", got.State, got.Err, err)
		}
	})
}

// A record that does not fit is tried again until there is room, patience runs out,
// or something is asked; other errors end it at once.
func TestHold(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		defer r.stop()
		r.submit("a")
		<-r.edges
		j, err := r.e.job("a")
		if err != nil {
			t.Fatal(err)
		}
		w := &watchdog{limit: func() time.Duration { return time.Minute }}
		w.feed()
		full := storeError(store.ErrNoSpace, "n1")
		tries := 0
		err = j.hold(t.Context(), w, func() error {
			if tries++; tries < 4 {
				return full
			}
			return nil
		})
		if got := j.current(); err != nil || tries != 4 || got.WaitingReason != transfer.StateNoSpace {
			t.Errorf("%v after %d tries, waiting for %s", err, tries, got.WaitingReason)
		}
		start := time.Now()
		if err := j.hold(t.Context(), w, func() error { return full }); transfer.ReasonOf(err) != transfer.StateNoSpace || time.Since(start) > 2*time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		w.feed()
		tries = 0
		other := errors.New("other")
		if err := j.hold(t.Context(), w, func() error { tries++; return other }); !errors.Is(err, other) || tries != 1 {
			t.Errorf("%v after %d tries", err, tries)
		}
	})
}

// A pause needs no room, and what is paused waits for nothing.
func TestPauseWhileTheStateIsFull(t *testing.T) {
	dir := needs.Tmpfs(t, "size=32m")
	inBubble(t, func(t *testing.T, _ string) {
		r := newRig(t, dir)
		defer r.stop()
		r.submit("a")
		edge := <-r.edges
		edge.obs.Opened(&transfer.Opened{})
		edge.obs.Waiting(&transfer.Error{Reason: transfer.StateNoSpace, Side: transfer.SideTarget, Node: "n2", Err: errors.New("full")})
		time.Sleep(time.Second)
		synctest.Wait()
		if got, _ := r.e.Get(t.Context(), "a"); got.WaitingReason != transfer.StateNoSpace {
			t.Errorf("it waits for %q", got.WaitingReason)
		}
		filler, err := os.Create(filepath.Join(dir, "filler"))
		if err != nil {
			t.Fatal(err)
		}
		defer filler.Close()
		for block := make([]byte, 4096); err == nil; {
			_, err = filler.Write(block)
		}
		if _, err := r.e.Pause(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		r.want("a", transfer.StatePaused)
		if got, _ := r.e.Get(t.Context(), "a"); got.WaitingReason != "" || got.WaitingDetail != "" || !got.NextAttempt.IsZero() {
			t.Errorf("it is paused, and waits for %s %s", got.WaitingReason, got.WaitingDetail)
		}
	})
}

// Whoever was accepted waits for room; what a target refused at the door does not.
func TestFullStateIsWaitedFor(t *testing.T) {
	for _, tt := range []struct {
		side transfer.Side
		owes bool
		want event
	}{{transfer.SideOwner, false, evRetry}, {transfer.SideOwner, true, evRetry}, {transfer.SideTarget, true, evRetry}, {transfer.SideTarget, false, evFail}} {
		if got := follow(transfer.StateRunning, tt.owes, &transfer.Error{Reason: transfer.StateNoSpace, Side: tt.side}); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}
