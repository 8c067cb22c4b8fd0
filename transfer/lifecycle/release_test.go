package lifecycle

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/sender"
)

// fakeTarget serves edges that are opened only to be ended.
type fakeTarget struct {
	mu     sync.Mutex
	refuse *transfer.Error
	ends   []transfer.End
	of     []string // ids of the transfers that were ended, in order
	epochs []uint64
}

func (f *fakeTarget) serve(link transfer.OwnerLink) {
	defer link.Close()
	ctx := context.Background()
	var open *transfer.Open
	for {
		m, err := link.Recv(ctx)
		if err != nil {
			return
		}
		f.mu.Lock()
		refuse := f.refuse
		f.mu.Unlock()
		switch m := m.(type) {
		case *transfer.Open:
			if open = m; refuse != nil {
				_ = link.Send(ctx, &transfer.Refused{Err: refuse})
				return
			}
			_ = link.Send(ctx, &transfer.Opened{})
		case *transfer.Abort:
			f.mu.Lock()
			f.ends, f.of, f.epochs = append(f.ends, m.End), append(f.of, open.ID), append(f.epochs, open.Epoch)
			f.mu.Unlock()
			_ = link.Send(ctx, &transfer.Finished{})
			return
		}
	}
}

func (f *fakeTarget) told() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.of)
}

func unreachable() *transfer.Error {
	return &transfer.Error{Reason: transfer.PeerUnreachable, Err: errors.New("no route")}
}

func wantTold(t *testing.T, f *fakeTarget, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := f.told(); !slices.Equal(got, want) {
		t.Fatalf("the target was told of %v, want %v", got, want)
	}
}

// failed makes transfers end while their target, which has an edge of them, is
// away.
func (r *rig) failed(ids ...string) {
	r.t.Helper()
	edges := make([]*fakeEdge, len(ids))
	for i, id := range ids {
		r.submit(id)
		edges[i] = <-r.edges
	}
	r.peers.fail(unreachable())
	for i, id := range ids {
		edges[i].end <- lost
		if got, err := r.e.Wait(r.t.Context(), id); err != nil || got.State != transfer.StateFailed {
			r.t.Fatalf("%s: %s, %v", id, got.State, err)
		}
	}
}

// A transfer that failed while its target was away: the target is told as soon
// as it is there, once, by a newer epoch.
func TestTargetIsToldWhenItJoins(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		target := &fakeTarget{}
		r := newRig(t, dir)
		defer r.stop()
		r.peers.serve = target.serve
		r.failed("a")
		time.Sleep(7 * time.Minute)
		wantTold(t, target)
		before := time.Now()
		r.peers.join()
		wantTold(t, target, "a")
		if d := time.Since(before); d > 0 {
			t.Errorf("after %v", d)
		}
		if target.ends[0] != transfer.EndCancel || target.epochs[0] < 2 {
			t.Errorf("end %v of epoch %d", target.ends[0], target.epochs[0])
		}
		time.Sleep(time.Hour)
		wantTold(t, target, "a")
		r.want("a", transfer.StateFailed)
	})
}

// What could not be told survives a restart of the node.
func TestTargetIsToldAfterARestart(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		target := &fakeTarget{}
		r := newRig(t, dir)
		r.failed("a")
		r.stop()
		for range 2 { // and only once
			r = newRigPeers(t, dir, 4, &fakePeers{joined: make(chan struct{}), serve: target.serve})
			wantTold(t, target, "a")
			r.want("a", transfer.StateFailed)
			r.stop()
		}
	})
}

// The target that is back, but which nobody announced, is told by back-off.
func TestTargetIsToldAfterBackoff(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		target := &fakeTarget{}
		r := newRig(t, dir)
		defer r.stop()
		r.peers.serve = target.serve
		r.failed("a")
		r.peers.fail(nil)
		time.Sleep(maxBackoff)
		wantTold(t, target, "a")
	})
}

// The same command again: what is in its way goes first, though the back-off is
// not over.
func TestSameDestinationIsReleasedFirst(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		target := &fakeTarget{}
		r := newRig(t, dir)
		defer r.stop()
		r.peers.serve = target.serve
		r.failed("a")
		time.Sleep(maxBackoff * 20) // it is tried every half minute by now
		synctest.Wait()
		r.peers.fail(nil)
		r.submit("b")
		edge := <-r.edges
		if got := target.told(); !slices.Equal(got, []string{"a"}) {
			t.Fatalf("before the next attempt the target was told of %v", got)
		}
		edge.end <- good
		r.want("b", transfer.StateSucceeded)
	})
}

// A first attempt that the target refused holds nothing.
func TestRefusedAttemptOwesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		target := &fakeTarget{}
		r := newRig(t, dir)
		defer r.stop()
		r.peers.serve = target.serve
		r.submit("a")
		(<-r.edges).end <- func() (sender.Summary, error) {
			return sender.Summary{Refused: true}, &transfer.Error{Reason: transfer.DestBusy, Err: errors.New("busy")}
		}
		r.want("a", transfer.StateFailed)
		time.Sleep(time.Hour)
		wantTold(t, target)
		if r.peers.opens != 1 {
			t.Errorf("%d links", r.peers.opens)
		}
	})
}

// A cancel that finds the edge stopping to pause: the target kept the
// destination, and has to be told of the cancel.
func TestCancelWhilePausingReleases(t *testing.T) {
	for _, purge := range []bool{false, true} {
		inBubble(t, func(t *testing.T, dir string) {
			target := &fakeTarget{}
			r := newRig(t, dir)
			defer r.stop()
			r.peers.serve = target.serve
			r.submit("a")
			edge := <-r.edges
			r.want("a", transfer.StateRunning)
			edge.end <- func() (sender.Summary, error) {
				if _, err := r.e.Pause(t.Context(), "a"); err != nil {
					t.Error(err)
				}
				if _, err := r.e.Cancel(t.Context(), "a", purge, ""); err != nil {
					t.Error(err)
				}
				return sender.Summary{Confirmed: transfer.EndPause}, &transfer.Error{Reason: transfer.Cancelled, Err: errors.New("stopped")}
			}
			got, err := r.e.Wait(t.Context(), "a")
			if err != nil || got.State != transfer.StateCancelled {
				t.Fatalf("%s, %v", got.State, err)
			}
			wantTold(t, target, "a")
			if want := map[bool]transfer.End{false: transfer.EndCancel, true: transfer.EndPurge}[purge]; target.ends[0] != want {
				t.Errorf("end %v, want %v", target.ends[0], want)
			}
		})
	}
}

// A cancel of a paused transfer whose target is away ends soon; the target is
// told later.
func TestCancelOfPausedWhileTheTargetIsAway(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		target := &fakeTarget{}
		r := newRig(t, dir)
		defer r.stop()
		r.peers.serve = target.serve
		r.submit("a")
		<-r.edges
		if _, err := r.e.Pause(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		r.want("a", transfer.StatePaused)
		r.peers.fail(unreachable())
		if _, err := r.e.Cancel(t.Context(), "a", false, ""); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if got, err := r.e.Wait(t.Context(), "a"); err != nil || got.State != transfer.StateCancelled || time.Since(start) > 2*releaseTimeout {
			t.Fatalf("%s, %v after %v", got.State, err, time.Since(start))
		}
		r.peers.join()
		wantTold(t, target, "a")
	})
}

// A target that drains, or has no place, would have taken the edge if it held the
// destination.
func TestRefusalThatSaysThatNothingIsHeld(t *testing.T) {
	for _, reason := range []transfer.Reason{transfer.NodeDraining, transfer.NodeBusy, transfer.Cancelled, transfer.DestChanged} {
		inBubble(t, func(t *testing.T, dir string) {
			target := &fakeTarget{refuse: &transfer.Error{Reason: reason, Err: errors.New("no more")}}
			r := newRig(t, dir)
			defer r.stop()
			r.peers.serve = target.serve
			r.failed("a")
			r.peers.join()
			synctest.Wait()
			opens := r.peers.opens
			time.Sleep(time.Hour)
			if r.peers.opens != opens {
				t.Errorf("%s: %d links after %d", reason, r.peers.opens, opens)
			}
		})
	}
}

// A target that is there and refuses is asked no longer than it holds a
// destination without its owner, also over many transfers.
func TestReleaseIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		target := &fakeTarget{}
		r := newRig(t, dir)
		defer r.stop()
		r.peers.serve = target.serve
		r.failed("a", "b")
		target.refuse = &transfer.Error{Reason: transfer.PathNotAllowed, Err: errors.New("no such export")}
		r.peers.join()
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		opens := r.peers.opens
		time.Sleep(time.Hour)
		synctest.Wait()
		if r.peers.opens != opens {
			t.Errorf("it is asked for ever: %d links after %d", r.peers.opens, opens)
		}
		wantTold(t, target)
	})
}

// TestHintAfterPurge: nothing is kept that the same command could go on from.
func TestHintAfterPurge(t *testing.T) {
	for _, purge := range []string{"with the cancel", "later", "never"} {
		inBubble(t, func(t *testing.T, dir string) {
			target := &fakeTarget{}
			r := newRig(t, dir)
			defer r.stop()
			r.peers.serve = target.serve
			r.submit("a")
			edge := <-r.edges
			if _, err := r.e.Cancel(t.Context(), "a", purge == "with the cancel", ""); err != nil {
				t.Fatal(err)
			}
			edge.end <- func() (sender.Summary, error) {
				return sender.Summary{}, &transfer.Error{Reason: transfer.Cancelled}
			}
			r.want("a", transfer.StateCancelled)
			if purge == "later" {
				if _, err := r.e.Cancel(t.Context(), "a", true, ""); err != nil {
					t.Fatal(err)
				}
			}
			got, err := r.e.Get(t.Context(), "a")
			want := map[bool]string{true: "goes on from here", false: "begins anew"}[purge == "never"]
			if err != nil || !strings.HasSuffix(got.Err.Hint, want) {
				t.Errorf("purged %s: %v, %v", purge, got.Err, err)
			}
		})
	}
}

// TestHintOfARegion: nothing that landed in memory is kept for another transfer.
func TestHintOfARegion(t *testing.T) {
	for dest, want := range map[string]string{"@d": "begins anew", "/d": "goes on from here"} {
		for name, late := range map[string]time.Time{"deadline": time.Unix(1, 0), "stalled": {}} {
			x := transfer.Transfer{Spec: transfer.Spec{Dest: dest, Deadline: late}}
			if err := (&watchdog{limit: func() time.Duration { return 0 }}).expired(&x); err == nil || !strings.HasSuffix(err.Hint, want) {
				t.Errorf("%s of %s: %v", name, dest, err)
			}
		}
	}
}
