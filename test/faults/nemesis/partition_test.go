package nemesis

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// TestP1P3P9Partition: both directions are cut while a file moves.
func TestP1P3P9Partition(t *testing.T) {
	t.Parallel()
	parallel(t, "shorter than the silence that is borne", func(t *testing.T) {
		c := newCluster(t, 3)
		owner, target := c.two()
		m := c.begins(owner, target, "one", nil)
		heal := c.must(partition(owner.host, target.host, everything))
		lasting(5 * time.Second)
		m.unchanged()
		heal()
		m.succeeds(0) // TCP goes on by itself
		if n := m.look().GetCounters().GetAttempts(); n != 1 {
			t.Errorf("it took %d attempts", n)
		}
		c.finish()
	})
	parallel(t, "longer", func(t *testing.T) {
		c := newCluster(t, 3)
		owner, target := c.two()
		m := c.begins(owner, target, "one", nil)
		heal := c.must(partition(owner.host, target.host, everything))
		m.waits("PEER_UNREACHABLE")
		m.unchanged()
		heal()
		m.succeeds(inFlight)
		c.finish()
	})
	parallel(t, "longer than the deadline", func(t *testing.T) {
		c := newCluster(t, 3, soon...)
		owner, target := c.two()
		deadline := time.Now().Add(15 * time.Second)
		m := c.begins(owner, target, "one", func(s *xferv1.TransferSpec) { s.Deadline = timestamppb.New(deadline) })
		heal := c.must(partition(owner.host, target.host, everything))
		tr := m.ends(xferv1.State_STATE_FAILED, "DEADLINE_EXCEEDED")
		t.Logf("it ended %v after its deadline", tr.GetEndTime().AsTime().Sub(deadline))
		m.unchanged()
		heal()
		c.finish()
		m.unchanged()
	})
	parallel(t, "longer than the time to stall", func(t *testing.T) {
		c := newCluster(t, 3, "--times-stall=8s", soon[0])
		owner, target := c.two()
		m := c.begins(owner, target, "one", nil)
		heal := c.must(partition(owner.host, target.host, everything))
		m.ends(xferv1.State_STATE_FAILED, "STALLED")
		m.unchanged()
		heal()
		// The same command goes on from what landed, which is kept for a while.
		again := c.copying(owner, target, "again", "src-one", "dst")
		if _, err := again.submit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := moved(again.ends(xferv1.State_STATE_SUCCEEDED, "")); n > big.bytes() {
			t.Errorf("%d bytes were moved", n)
		}
		if err := big.equal(again.dst(), 2); err != nil {
			t.Error(err)
		}
		c.finish()
	})
}

// TestP1P3OneWayPartition: one direction of one plane is cut, while gossip says that
// everybody is there. It is found out, and the transfer goes on when it is healed.
func TestP1P3OneWayPartition(t *testing.T) {
	t.Parallel()
	for _, p := range []plane{control, data} {
		for _, back := range []bool{false, true} {
			parallel(t, fmt.Sprintf("%s, back %v", p, back), func(t *testing.T) {
				c := newCluster(t, 3)
				owner, target := c.two()
				m := c.begins(owner, target, "one", nil)
				from, to := owner.host, target.host
				if back {
					from, to = to, from
				}
				heal := c.must(cut(from, to, p))
				begin := time.Now()
				c.eventually("it is found out", func() error {
					if tr := m.look(); tr.GetWaitingReason() == "" && !strings.Contains(owner.logs(), "data plane failed") {
						return fmt.Errorf("it is %v after %v", tr.GetState(), time.Since(begin))
					}
					return nil
				})
				t.Logf("found out after %v: %s", time.Since(begin).Round(time.Second), m.look().GetWaitingDetail())
				if n, err := c.sees(owner); n != 3 || err != nil {
					t.Errorf("the owner sees %d nodes, %v", n, err)
				}
				// Where the owner alone hears nothing, the target may know all it needs.
				if p == control && back {
					if err := big.among(m.dst(), true, 1, 2); err != nil {
						t.Error(err)
					}
				} else {
					m.unchanged()
				}
				heal()
				m.succeeds(2 * inFlight)
				c.finish()
			})
		}
	}
}

// TestP1P6OwnerWithoutControl: the owner cannot say that a file is done, but its bytes
// flow. Nothing is published without its word, and what landed is not sent again.
func TestP1P6OwnerWithoutControl(t *testing.T) {
	t.Parallel()
	for name, long := range map[string]bool{"shorter than the silence that is borne": false, "longer": true} {
		parallel(t, name, func(t *testing.T) {
			c := newCluster(t, 3)
			owner, target := c.two()
			m := c.begins(owner, target, "one", nil)
			heal := c.must(partition(owner.host, target.host, control))
			c.eventually("all bytes have landed", func() error {
				if n := m.look().GetCounters().GetBytesDone(); n != big.bytes() {
					return fmt.Errorf("%d have", n)
				}
				return nil
			})
			if long {
				m.waits("PEER_LOST", "PEER_UNREACHABLE")
			} else {
				lasting(3 * time.Second)
			}
			m.unchanged()
			heal()
			m.succeeds(0)
			c.finish()
		})
	}
}
