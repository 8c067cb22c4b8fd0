package nemesis

import (
	"fmt"
	"path/filepath"
	"testing"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// TestP1P3NodeComesBackElsewhere: a target, and then an owner, starts again under another
// address. The others find it, and the transfer goes on.
func TestP1P3NodeComesBackElsewhere(t *testing.T) {
	t.Parallel()
	for i, name := range []string{"owner", "target"} {
		parallel(t, name, func(t *testing.T) {
			c := newCluster(t, 3)
			owner, target := c.two()
			m := c.begins(owner, target, "one", nil)
			who := c.nodes[i]
			who.kill()
			m.unchanged()
			if err := who.move("10.99.0.77"); err != nil {
				t.Fatal(err)
			}
			if err := who.start(); err != nil {
				t.Fatal(err)
			}
			m.ends(xferv1.State_STATE_SUCCEEDED, "")
			// What an owner moved in a life that was killed, it does not remember.
			if n := moved(m.look()); n > big.bytes()+inFlight {
				t.Errorf("%d bytes were moved", n)
			}
			if err := big.equal(m.dst(), 2); err != nil {
				t.Error(err)
			}
			c.finish()
		})
	}
}

// TestP3GossipIsSplit: gossip alone is cut. The nodes take each other for dead, but what
// runs goes on, and they find each other when it is healed.
func TestP3GossipIsSplit(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	owner, target := c.two()
	m := c.begins(owner, target, "one", func(s *xferv1.TransferSpec) {
		rate := int64(1 << 20)
		s.MaxBytesPerSecond = &rate
	})
	one := c.must(partition(owner.host, target.host, gossip))
	two := c.must(partition(owner.host, c.nodes[2].host, gossip))
	c.eventually("the owner is alone", func() error {
		n, err := c.sees(owner)
		if err == nil && n != 1 {
			err = fmt.Errorf("it sees %d", n)
		}
		return err
	})
	before := m.look()
	if over(before) || before.GetWaitingReason() != "" {
		t.Errorf("it is %v", before)
	}
	c.eventually("it moves", func() error {
		if tr := m.look(); tr.GetCounters().GetBytesDone() <= before.GetCounters().GetBytesDone()+1<<20 {
			return fmt.Errorf("it is %v", tr)
		}
		return nil
	})
	if _, err := owner.api().UpdateTransfer(t.Context(), quick(m)); err != nil {
		t.Fatal(err)
	}
	m.succeeds(0)
	if n := m.look().GetCounters().GetAttempts(); n != 1 {
		t.Errorf("it took %d attempts", n)
	}
	one()
	two()
	c.whole()

	f := small(20)
	if err := f.writeAll(filepath.Join(owner.data(), "after"), 1); err != nil {
		t.Fatal(err)
	}
	after := c.copying(owner, target, "after", "after", "after")
	if _, err := after.submit(t.Context()); err != nil {
		t.Fatal(err)
	}
	after.ends(xferv1.State_STATE_SUCCEEDED, "")
	if err := f.equal(after.dst(), 1); err != nil {
		t.Error(err)
	}
	c.finish()
}
