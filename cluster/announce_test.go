package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// TestDrainIsSeenWhenItWasTold: whoever waited for a change to be told finds it
// at every other node, also when it is undone at once.
func TestDrainIsSeenWhenItWasTold(t *testing.T) {
	for _, p := range []Profile{LAN, Local} {
		t.Run(fmt.Sprint(p), func(t *testing.T) {
			inBubble(t, func(f *fabric) {
				profile := func(c *Config) { c.Profile = p }
				nodes := []*running{f.start("n1", profile), f.start("n2", profile), f.start("n3", profile)}
				f.eventually(10*time.Second, "join", func() bool { return allSee(nodes, Alive) })
				for i := range updateBurst {
					on := i%2 == 0
					if err := nodes[1].SetDraining(on); err != nil {
						t.Fatal(err)
					}
					from := time.Now()
					if err := nodes[1].WaitTold(f.t.Context()); err != nil {
						t.Fatal(err)
					}
					if took := time.Since(from); took > 600*time.Millisecond {
						t.Errorf("change %d: told after %v", i, took)
					}
					want := Alive
					if on {
						want = Draining
					}
					for _, r := range nodes {
						if got := r.state("n2"); got != want {
							t.Errorf("change %d: %s takes n2 for %s, want %s", i, r.cfg.NodeID, got, want)
						}
					}
				}
			})
		})
	}
}

// TestManyChangesAreSlowedDown: a burst is told at once, more of them are not.
func TestManyChangesAreSlowedDown(t *testing.T) {
	inBubble(t, func(f *fabric) {
		nodes := []*running{f.start("n1"), f.start("n2")}
		f.eventually(10*time.Second, "join", func() bool { return allSee(nodes, Alive) })
		from := time.Now()
		const changes = 20
		for i := range changes {
			if err := nodes[0].SetDraining(i%2 == 0); err != nil {
				t.Fatal(err)
			}
			if err := nodes[0].WaitTold(f.t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(from); took < (changes-updateBurst)*time.Second-time.Second {
			t.Errorf("%d changes in %v", changes, took)
		}
	})
}

// TestWaitToldEnds with its context, alone, and with the membership.
func TestWaitToldEnds(t *testing.T) {
	inBubble(t, func(f *fabric) {
		alone := f.start("n1")
		if err := alone.SetDraining(true); err != nil {
			t.Fatal(err)
		}
		if err := alone.WaitTold(f.t.Context()); err != nil {
			t.Errorf("alone: %v", err)
		}
		ctx, cancel := context.WithCancel(f.t.Context())
		cancel()
		if err := alone.SetDraining(false); err != nil {
			t.Fatal(err)
		}
		if err := alone.WaitTold(ctx); err == nil {
			t.Error("the context had ended")
		}
		alone.leave()
		if err := alone.SetDraining(true); err != nil {
			t.Fatal(err)
		}
		if err := alone.WaitTold(f.t.Context()); err == nil {
			t.Error("the membership had ended")
		}
	})
}
