package cluster

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestLossyNetwork(t *testing.T) {
	inBubble(t, func(f *fabric) {
		f.net.SetLoss(0.2)
		f.net.SetLatency(5 * time.Millisecond)
		var nodes []*running
		for i := range 10 {
			nodes = append(nodes, f.start(fmt.Sprintf("n%d", i)))
		}
		t.Logf("joined after %v", f.eventually(2*time.Minute, "join", func() bool { return allSee(nodes, Alive) }))
		if err := nodes[3].SetDraining(true); err != nil {
			t.Fatal(err)
		}
		f.eventually(2*time.Minute, "drain", func() bool {
			for _, r := range nodes {
				if r.state("n3") != Draining {
					return false
				}
			}
			return true
		})
		time.Sleep(10 * time.Minute)
		for _, r := range nodes {
			for _, m := range r.Members() {
				if !m.State.Here() {
					t.Errorf("%s takes %s for %s", r.cfg.NodeID, m.ID, m.State)
				}
			}
		}
	})
}

// A one-way cut between two nodes is bridged by the others.
func TestOneWayCut(t *testing.T) {
	inBubble(t, func(f *fabric) {
		var nodes []*running
		for i := range 5 {
			nodes = append(nodes, f.start(fmt.Sprintf("n%d", i)))
		}
		f.eventually(20*time.Second, "join", func() bool { return allSee(nodes, Alive) })
		f.net.Block(nodes[1].at.Addr(), nodes[2].at.Addr())
		time.Sleep(10 * time.Minute)
		if !allSee(nodes, Alive) {
			for _, r := range nodes {
				t.Errorf("%s sees %s", r.cfg.NodeID, r.summary())
			}
		}
	})
}

func TestSeedsByName(t *testing.T) {
	inBubble(t, func(f *fabric) {
		seed := f.start("n1")
		vip := netip.MustParseAddr("10.200.0.1") // leads nowhere
		byName := func(c *Config) {
			c.Join = StaticJoin("absent.example", "seeds.example")
			c.Resolver = names{"seeds.example": {vip, seed.at.Addr()}}
		}
		b, c := f.start("n2", byName), f.start("n3", byName)
		f.eventually(10*time.Second, "join", func() bool { return allSee([]*running{seed, b, c}, Alive) })
		if b.Stats().JoinErrors == 0 {
			t.Error("the name that is absent was not counted")
		}
	})
}

// Seeds that come up minutes later are still found.
func TestSeedComesLate(t *testing.T) {
	inBubble(t, func(f *fabric) {
		at := f.net.Addr()
		f.seeds = []string{at.String()}
		b, c := f.start("n2"), f.start("n3")
		time.Sleep(time.Hour)
		a := f.startAt("n1", at)
		d := f.eventually(time.Minute, "join", func() bool { return allSee([]*running{a, b, c}, Alive) })
		t.Logf("joined after %v", d)
	})
}

// An address that leads to a member but is not its own, such as that of a load
// balancer, is not asked for ever.
func TestSeedAlias(t *testing.T) {
	inBubble(t, func(f *fabric) {
		a := f.start("n1")
		f.seeds = []string{f.net.Addr().String()}
		f.net.Alias(netip.MustParseAddrPort(f.seeds[0]), a.at)
		b := f.start("n2")
		f.eventually(5*time.Second, "join", func() bool { return allSee([]*running{a, b}, Alive) })
		time.Sleep(9 * time.Minute)
		if n := b.Stats().Joins; n > 6 {
			t.Errorf("%d joins in nine minutes", n)
		}
	})
}
