package cluster

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

func TestJoinTellsEverything(t *testing.T) {
	inBubble(t, func(f *fabric) {
		a := f.start("n1")
		b := f.start("n2", func(c *Config) {
			c.Meta.Control = netip.MustParseAddrPort("192.0.2.7:7440")
			c.Meta.Rack, c.Meta.HTTPPort = "r9", 7443
			c.Meta.Capabilities = CapTCP | CapRoCE
		})
		f.eventually(2*time.Second, "join", func() bool { return allSee([]*running{a, b}, Alive) })
		got, ok := a.Lookup("n2")
		if !ok {
			t.Fatal("n2 is unknown")
		}
		ip := b.at.Addr().String()
		want := Member{
			ID: "n2", Instance: b.Instance(), Started: got.Started, Addr: "192.0.2.7:7440",
			DataAddr: ip + ":7441", HTTPAddr: ip + ":7443", Gossip: b.at, Zone: "a", Rack: "r9",
			Capabilities: CapTCP | CapRoCE, State: Alive, Version: "v0", Since: got.Since, LastSeen: got.LastSeen,
		}
		if got != want {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		if d := time.Since(got.Started); d < 0 || d > 5*time.Second {
			t.Errorf("started %v ago", d)
		}
		self, _ := a.Lookup("n1")
		if !self.Self || self.State != Alive {
			t.Errorf("self is %+v", self)
		}
		if got.Since.IsZero() || got.LastSeen.IsZero() {
			t.Errorf("times are missing: %+v", got)
		}
	})
}

func TestDeathIsDetected(t *testing.T) {
	inBubble(t, func(f *fabric) {
		var nodes []*running
		for i := range 5 {
			nodes = append(nodes, f.start(fmt.Sprintf("n%d", i)))
		}
		f.eventually(10*time.Second, "join", func() bool { return allSee(nodes, Alive) })
		f.kill(nodes[4])
		d := f.eventually(time.Minute, "death of n4", func() bool {
			for _, r := range nodes[:4] {
				if r.state("n4") != Failed {
					return false
				}
			}
			return true
		})
		t.Logf("death seen by all after %v", d)
	})
}

func TestLeaveIsNotFailure(t *testing.T) {
	inBubble(t, func(f *fabric) {
		var nodes []*running
		for i := range 4 {
			nodes = append(nodes, f.start(fmt.Sprintf("n%d", i)))
		}
		f.eventually(10*time.Second, "join", func() bool { return allSee(nodes, Alive) })
		from := time.Now()
		nodes[3].leave()
		if d := time.Since(from); d > 4*time.Second {
			t.Errorf("leaving took %v", d)
		}
		if nodes[3].err != nil {
			t.Error(nodes[3].err)
		}
		f.eventually(2*time.Second, "leave", func() bool {
			return nodes[0].state("n3") == Left && nodes[1].state("n3") == Left && nodes[2].state("n3") == Left
		})
		time.Sleep(time.Minute)
		if got := nodes[0].state("n3"); got != Left {
			t.Errorf("later n3 is %v", got)
		}
		time.Sleep(2 * keepLeft)
		if _, known := nodes[0].Lookup("n3"); known {
			t.Error("n3 is remembered for too long")
		}
	})
}

func TestPartitionHealsByRejoin(t *testing.T) {
	inBubble(t, func(f *fabric) {
		var nodes []*running
		for i := range 6 {
			nodes = append(nodes, f.start(fmt.Sprintf("n%d", i)))
		}
		f.eventually(20*time.Second, "join", func() bool { return allSee(nodes, Alive) })
		left, right := nodes[:3], nodes[3:]
		f.net.Partition(ips(left), ips(right))
		f.eventually(2*time.Minute, "partition", func() bool {
			for _, l := range left {
				for _, r := range right {
					if l.state(r.cfg.NodeID) != Failed || r.state(l.cfg.NodeID) != Failed {
						return false
					}
				}
			}
			return true
		})
		// Longer than memberlist itself gossips to the dead.
		time.Sleep(10 * time.Minute)
		f.net.Heal()
		d := f.eventually(3*time.Minute, "healing", func() bool { return allSee(nodes, Alive) })
		t.Logf("healed after %v", d)
	})
}

func TestPartitionHealsWithoutSeeds(t *testing.T) {
	inBubble(t, func(f *fabric) {
		a := f.start("n1")
		b := f.start("n2")
		f.eventually(10*time.Second, "join", func() bool { return allSee([]*running{a, b}, Alive) })
		// n1 has no seed but itself: only its memory of n2 can bring it back.
		f.net.Block(b.at.Addr(), a.at.Addr())
		f.net.Block(a.at.Addr(), b.at.Addr())
		time.Sleep(30 * time.Minute)
		b.leave()
		f.net.Heal()
		b = f.startAt("n2", b.at, func(c *Config) { c.Join = nil })
		f.eventually(time.Minute, "healing", func() bool { return allSee([]*running{a, b}, Alive) })
	})
}

func TestPeersOfAnEarlierLife(t *testing.T) {
	inBubble(t, func(f *fabric) {
		var disk atomic.Pointer[[]Peer]
		remember := func(c *Config) {
			c.SavePeers = func(_ ctx, p []Peer) error { disk.Store(&p); return nil }
			c.LoadPeers = func(ctx) ([]Peer, error) {
				if p := disk.Load(); p != nil {
					return *p, nil
				}
				return nil, nil
			}
		}
		a := f.start("n1")
		b := f.start("n2", remember)
		f.eventually(10*time.Second, "join", func() bool { return allSee([]*running{a, b}, Alive) })
		time.Sleep(time.Minute)
		if saved := *disk.Load(); len(saved) != 1 || saved[0] != (Peer{ID: "n1", Gossip: a.at}) {
			t.Fatalf("saved %v", saved)
		}
		b.leave()
		b = f.start("n2", remember, func(c *Config) { c.Join = StaticJoin("198.51.100.1:1") })
		f.eventually(10*time.Second, "join by memory", func() bool { return allSee([]*running{a, b}, Alive) })
	})
}

// A seed that is started anew, and remembers nobody, is found again at once.
func TestSeedIsRestarted(t *testing.T) {
	inBubble(t, func(f *fabric) {
		a := f.start("n1")
		b, c := f.start("n2"), f.start("n3")
		f.eventually(10*time.Second, "join", func() bool { return allSee([]*running{a, b, c}, Alive) })
		time.Sleep(time.Hour)
		a.leave()
		time.Sleep(2 * time.Second)
		a = f.startAt("n1", a.at, func(c *Config) { c.Join = nil })
		d := f.eventually(6*time.Second, "join", func() bool { return allSee([]*running{a, b, c}, Alive) })
		t.Logf("joined after %v", d)
	})
}

// Who joined a moment ago is remembered by a node that has no seeds.
func TestPeersAreRememberedSoon(t *testing.T) {
	inBubble(t, func(f *fabric) {
		var disk atomic.Pointer[[]Peer]
		a := f.start("n1", func(c *Config) {
			c.SavePeers = func(_ ctx, p []Peer) error { disk.Store(&p); return nil }
		})
		time.Sleep(time.Minute)
		b := f.start("n2")
		f.eventually(10*time.Second, "join", func() bool { return allSee([]*running{a, b}, Alive) })
		f.eventually(3*time.Second, "memory", func() bool { return disk.Load() != nil })
		if saved := *disk.Load(); len(saved) != 1 || saved[0] != (Peer{ID: "n2", Gossip: b.at}) {
			t.Errorf("saved %v", saved)
		}
	})
}

func TestPeersThatCannotBeLoaded(t *testing.T) {
	inBubble(t, func(f *fabric) {
		bad := func(c *Config) {
			c.LoadPeers = func(ctx) ([]Peer, error) { return nil, errors.New("disk on fire") }
			c.SavePeers = func(ctx, []Peer) error { return errors.New("disk on fire") }
		}
		a, b := f.start("n1"), f.start("n2", bad)
		f.eventually(10*time.Second, "join", func() bool { return allSee([]*running{a, b}, Alive) })
	})
}

func TestFiftyNodes(t *testing.T) {
	inBubble(t, func(f *fabric) {
		var nodes []*running
		for i := range 50 {
			nodes = append(nodes, f.start(fmt.Sprintf("n%02d", i)))
		}
		t.Logf("all joined after %v", f.eventually(time.Minute, "join", func() bool { return allSee(nodes, Alive) }))
		if err := nodes[7].SetDraining(true); err != nil {
			t.Fatal(err)
		}
		t.Logf("drain seen by all after %v", f.eventually(5*time.Second, "drain", func() bool {
			for _, r := range nodes {
				if r.state("n07") != Draining {
					return false
				}
			}
			return true
		}))
		f.kill(nodes[9])
		t.Logf("death seen by all after %v", f.eventually(time.Minute, "death", func() bool {
			for i, r := range nodes {
				if i != 9 && r.state("n09") != Failed {
					return false
				}
			}
			return true
		}))
	})
}
