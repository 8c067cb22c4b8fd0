package nemesis

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// TestP1P3Loss: packets are lost at random, both ways and on all planes.
func TestP1P3Loss(t *testing.T) {
	t.Parallel()
	for _, percent := range []int{1, 10, 30} {
		parallel(t, fmt.Sprint(percent), func(t *testing.T) {
			c := newCluster(t, 3, soon...)
			owner, target := c.two()
			f := small(100)
			f["large"] = map[int]int{1: 32 << 20, 10: 8 << 20, 30: 2 << 20}[percent]
			if err := f.writeAll(filepath.Join(owner.data(), "src"), 1); err != nil {
				t.Fatal(err)
			}
			heal := c.must(lossy(owner.host, target.host, percent))
			m := c.copying(owner, target, "one", "src", "dst")
			if _, err := m.submit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if percent == 30 { // at times it gets through, at times it does not
				ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
				if _, err := m.end(ctx); err != nil {
					t.Log(err)
					heal()
				}
				cancel()
			}
			tr := m.ends(xferv1.State_STATE_SUCCEEDED, "")
			t.Logf("it took %v in %d attempts", tr.GetEndTime().AsTime().Sub(tr.GetStartTime().AsTime()), tr.GetCounters().GetAttempts())
			if err := f.equal(m.dst(), 1); err != nil {
				t.Error(err)
			}
			heal()
			c.finish()
		})
	}
}

// TestP1P3Resets: connections end with resets in the middle of chunks, again and again.
func TestP1P3Resets(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]plane{"data": data, "control": control, "both": everything} {
		parallel(t, name, func(t *testing.T) {
			c := newCluster(t, 3)
			owner, target := c.two()
			m := c.begins(owner, target, "one", nil)
			for i := range 8 {
				if err := c.nodes[i%2].reset(p.port()); err != nil {
					t.Fatal(err)
				}
				lasting(300 * time.Millisecond)
			}
			m.succeeds(8 * inFlight)
			c.finish()
		})
	}
}

// TestP1P3Refused: segments are answered with resets that one end alone hears of: the
// other one believes that the connection is there.
func TestP1P3Refused(t *testing.T) {
	t.Parallel()
	for _, p := range []plane{data, control} {
		parallel(t, string(p), func(t *testing.T) {
			c := newCluster(t, 3)
			owner, target := c.two()
			m := c.begins(owner, target, "one", nil)
			heal := c.must(refuse(owner.host, target.host, p))
			lasting(5 * time.Second)
			if p == data {
				m.unchanged()
			}
			heal()
			m.succeeds(inFlight)
			c.finish()
		})
	}
}

// TestP1P3SlowLink: a link of 1 Mbit/s is slow, and not dead.
func TestP1P3SlowLink(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	owner, target := c.two()
	m := c.begins(owner, target, "one", nil)
	if err := owner.rate("1mbit"); err != nil {
		t.Fatal(err)
	}
	before := m.look()
	lasting(40 * time.Second) // longer than silence is borne
	after := m.look()
	if after.GetWaitingReason() != "" || after.GetCounters().GetAttempts() != 1 || after.GetCounters().GetBytesDone() <= before.GetCounters().GetBytesDone() {
		t.Errorf("what is slow is taken for dead: %v", after)
	}
	m.unchanged()
	if err := owner.rate(base); err != nil {
		t.Fatal(err)
	}
	m.succeeds(0)
	c.finish()
}
