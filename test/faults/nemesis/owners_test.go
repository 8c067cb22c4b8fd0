package nemesis

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// slow makes the transfer of a big file last some ten seconds.
func slow(s *xferv1.TransferSpec) {
	rate := int64(4 << 20)
	s.MaxBytesPerSecond = &rate
}

// TestP4P10OwnerIsCutOffAndAnotherOneTakesOver: somebody submits the same work at another
// owner while the first one is cut off. The destination has one holder at a time, which is
// named; when the first one comes back, nothing of it lands.
func TestP4P10OwnerIsCutOffAndAnotherOneTakesOver(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "--times-orphan-ttl=5s", "--times-partial-ttl=20s")
	first, second, target := c.nodes[0], c.nodes[1], c.nodes[2]
	m := c.begins(first, target, "one", slow)
	heal := c.must(partition(first.host, target.host, everything))

	// Another version of the same, which has to be told from that of the first owner.
	if err := big.writeAll(filepath.Join(second.data(), "src"), 3); err != nil {
		t.Fatal(err)
	}
	other, refused := c.insists(second, target, "two", slow)
	if !strings.Contains(refused.GetError().GetMessage(), m.name()) {
		t.Errorf("it does not name %s: %v", m.name(), refused.GetError())
	}
	m.unchanged()
	c.eventually("the second has the destination", func() error {
		if n := other.look().GetCounters().GetBytesDone(); n < 4<<20 {
			return fmt.Errorf("%d bytes of it have landed", n)
		}
		return nil
	})
	heal()
	// The first comes back and finds it taken. Its attempt of before is over.
	tr := m.ends(xferv1.State_STATE_FAILED, "DEST_CHANGED")
	if !strings.Contains(tr.GetError().GetMessage(), other.name()) {
		t.Errorf("it does not name %s: %v", other.name(), tr.GetError())
	}
	m.unchanged()
	other.ends(xferv1.State_STATE_SUCCEEDED, "")
	if err := big.equal(other.dst(), 3); err != nil {
		t.Error(err)
	}
	c.finish()
	if err := big.equal(other.dst(), 3); err != nil {
		t.Error(err)
	}
}

// TestP4P10LateFinish: an owner is stopped when all of its bytes have landed, and goes on
// with its word that they are good when another one has the destination.
func TestP4P10LateFinish(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "--times-orphan-ttl=5s", "--times-partial-ttl=20s")
	first, second, target := c.nodes[0], c.nodes[1], c.nodes[2]
	m := c.begins(first, target, "one", nil)
	mute := c.must(cut(first.host, target.host, control))
	c.eventually("all bytes have landed", func() error {
		if n := m.look().GetCounters().GetBytesDone(); n != big.bytes() {
			return fmt.Errorf("%d have", n)
		}
		return nil
	})
	freeze(t, first)
	if err := big.writeAll(filepath.Join(second.data(), "src"), 3); err != nil {
		t.Fatal(err)
	}
	other, _ := c.insists(second, target, "two", nil)
	other.ends(xferv1.State_STATE_SUCCEEDED, "")
	if err := big.equal(other.dst(), 3); err != nil {
		t.Error(err)
	}
	mute()
	thaw(t, first)
	// Its word is refused, since it comes too late, and so is its next attempt: what the
	// other one has copied stays.
	tr := m.ends(xferv1.State_STATE_FAILED, "DEST_CHANGED")
	if !strings.Contains(tr.GetError().GetMessage(), other.name()) {
		t.Errorf("it does not name %s: %v", other.name(), tr.GetError())
	}
	c.finish()
	if err := big.equal(other.dst(), 3); err != nil {
		t.Error(err)
	}
}

// insists submits the same under new ids until one of them has the destination. It
// returns that one, and the first that was refused.
func (c *cluster) insists(from, to *node, id string, adapt func(*xferv1.TransferSpec)) (holds *move, refused *xferv1.Transfer) {
	c.t.Helper()
	c.eventually("another has the destination", func() error {
		m := c.copying(from, to, fmt.Sprintf("%s-%d", id, time.Now().UnixNano()), "src", "dst")
		if adapt != nil {
			adapt(m.spec)
		}
		if _, err := m.submit(c.t.Context()); err != nil {
			return err
		}
		for {
			t := m.look()
			switch {
			case t.GetError().GetReason() == "DEST_BUSY":
				if refused == nil {
					refused = t
				}
				time.Sleep(500 * time.Millisecond)
				return errors.New(t.GetError().GetMessage())
			case len(t.GetResolvedDestination()) > 0 || over(t):
				holds = m
				return nil
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	if refused == nil {
		c.t.Fatal("nothing was refused")
	}
	return holds, refused
}

// TestStoppedNodeHoldsUpNobodyElse: a node stands still with transfers in both directions,
// and the others go on as if it were not there.
func TestStoppedNodeHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, soon...)
	still, a, b := c.nodes[0], c.nodes[1], c.nodes[2]
	f := small(200)
	var moves []*move
	for i, pair := range [][2]*node{{a, still}, {still, a}, {b, still}, {a, b}, {b, a}} {
		from, to := pair[0], pair[1]
		m := c.copying(from, to, fmt.Sprintf("m%d", i), fmt.Sprintf("src%d", i), fmt.Sprintf("dst%d", i))
		if i < 3 { // it is to last until the node stands still
			slow(m.spec)
		}
		err := errors.Join(f.writeAll(filepath.Join(from.data(), fmt.Sprintf("src%d", i)), 1), big.writeAll(filepath.Join(from.data(), fmt.Sprintf("src%d", i), "large"), 1))
		if err != nil {
			t.Fatal(err)
		}
		moves = append(moves, m)
	}
	submit := func(m *move) {
		if _, err := m.submit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range moves[:3] {
		submit(m)
	}
	c.eventually("they move", func() error {
		for _, m := range moves[:3] {
			if n := m.look().GetCounters().GetBytesDone(); n < 4<<20 {
				return fmt.Errorf("%s has moved %d bytes", m.name(), n)
			}
		}
		return nil
	})
	freeze(t, still)
	for _, m := range moves[3:] {
		submit(m)
	}
	for _, m := range moves[3:] {
		tr := m.ends(xferv1.State_STATE_SUCCEEDED, "")
		t.Logf("%s took %v beside a node that stands still", m.name(), tr.GetEndTime().AsTime().Sub(tr.GetStartTime().AsTime()))
	}
	thaw(t, still)
	for _, m := range moves {
		m.ends(xferv1.State_STATE_SUCCEEDED, "")
		if err := big.equal(filepath.Join(m.dst(), "large"), 1); err != nil {
			t.Error(err)
		}
	}
	c.finish()
}
