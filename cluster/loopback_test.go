package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// startLoopback runs n nodes on real sockets, as `xferd dev` does.
func startLoopback(t *testing.T, n int) []*Cluster {
	t.Helper()
	var nodes []*Cluster
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	var seed string
	for i := range n {
		c, err := New(Config{
			NodeID: fmt.Sprintf("n%d", i+1), Cluster: "dev", Bind: "127.0.0.1:0", Profile: Local,
			Join: StaticJoin(seed), Meta: Meta{Control: netip.AddrPortFrom(netip.Addr{}, uint16(7000+i))},
		})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			seed = c.Addr().String()
		}
		nodes = append(nodes, c)
		wg.Go(func() {
			if err := c.Run(ctx); err != nil {
				t.Errorf("%s: %v", c.cfg.NodeID, err)
			}
		})
	}
	return nodes
}

func TestLoopback(t *testing.T) {
	for _, n := range []int{3, 8} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			start := time.Now()
			nodes := startLoopback(t, n)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for _, c := range nodes {
				if err := c.WaitJoined(ctx, n); err != nil {
					t.Fatal(err)
				}
			}
			t.Logf("%d nodes saw each other after %v", n, time.Since(start))
			from := time.Now()
			if err := nodes[n-1].Close(); err != nil {
				t.Fatal(err)
			}
			t.Logf("one left within %v", time.Since(from))
			for _, ev := range waitFor(ctx, nodes[0], fmt.Sprintf("n%d", n)) {
				if ev.Kind != MemberLeft {
					t.Errorf("%s is %s", ev.Member.ID, ev.Kind)
				}
			}
		})
	}
}

// waitFor returns the event with which the node went.
func waitFor(ctx context.Context, c *Cluster, id string) []Event {
	for ev := range c.Watch(ctx) {
		if ev.Member.ID == id && !ev.Member.State.Here() {
			return []Event{ev}
		}
	}
	return nil
}

func TestCloseWithoutRun(t *testing.T) {
	c, err := New(Config{NodeID: "n1", Cluster: "x", Bind: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	addr := c.Addr()
	for range 2 {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Run(t.Context()); err == nil {
		t.Error("ran after Close")
	}
	c, err = New(Config{NodeID: "n1", Cluster: "x", Bind: addr.String()})
	if err != nil {
		t.Fatalf("the port is not free: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestConfigRefusals(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	ok := func() Config { return Config{NodeID: "n1", Cluster: "x", Bind: "127.0.0.1:0"} }
	for name, change := range map[string]func(*Config){
		"no id":             func(c *Config) { c.NodeID = "" },
		"bad id":            func(c *Config) { c.NodeID = "n1/2" },
		"bad instance":      func(c *Config) { c.Instance = "A~" },
		"no cluster":        func(c *Config) { c.Cluster = "" },
		"long cluster":      func(c *Config) { c.Cluster = fmt.Sprintf("%300d", 1) },
		"bad key":           func(c *Config) { c.KeyringKeys = [][]byte{{1}} },
		"long zone":         func(c *Config) { c.Meta.Zone = fmt.Sprintf("%33d", 1) },
		"port in use":       func(c *Config) { c.Bind = taken.Addr().String() },
		"not local":         func(c *Config) { c.Bind = "192.0.2.1:0" },
		"nothing to tell":   func(c *Config) { c.Bind = "0.0.0.0:0" },
		"bad advertise":     func(c *Config) { c.Advertise = "n1.example" },
		"unknown profile":   func(c *Config) { c.Profile = 9 },
		"advertise nowhere": func(c *Config) { c.Advertise = "::" },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := ok()
			change(&cfg)
			c, err := New(cfg)
			if err == nil {
				_ = c.Close()
				t.Fatal("no error")
			}
			t.Log(err)
		})
	}
}

type names map[string][]netip.Addr

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if a := n[host]; a != nil {
		return a, nil
	}
	return nil, errors.New("no such host")
}

func TestSeedNames(t *testing.T) {
	c := &Cluster{cfg: Config{Resolver: names{"seeds": {netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::ffff:10.0.0.2")}}}}
	s := newSeeker(c)
	for name, want := range map[string]string{
		"10.0.0.9":         "[10.0.0.9:7442]",
		"10.0.0.9:1":       "[10.0.0.9:1]",
		"::1":              "[[::1]:7442]",
		"[::1]:9":          "[[::1]:9]",
		"seeds":            "[10.0.0.1:7442 10.0.0.2:7442]",
		"seeds:8":          "[10.0.0.1:8 10.0.0.2:8]",
		"seeds:x":          "error",
		"seeds:0":          "error",
		"nowhere":          "error",
		"[::ffff:1.2.3.4]": "error",
	} {
		got, err := s.resolve(t.Context(), name)
		text := fmt.Sprint(got)
		if err != nil {
			text = "error"
		}
		if text != want {
			t.Errorf("%s: got %s, want %s", name, text, want)
		}
	}
}
