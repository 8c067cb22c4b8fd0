package cluster

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/xferd/xferd/cluster/clustertest"
	"github.com/xferd/xferd/test/bubble"
)

// fabric runs nodes on a network in memory, inside a synctest bubble.
type fabric struct {
	t     *testing.T
	net   *clustertest.Network
	seeds []string
	all   []*running
}

// running is a node whose Run is under way.
type running struct {
	*Cluster
	at     netip.AddrPort
	cancel context.CancelFunc
	ended  chan struct{}
	err    error
}

// inBubble runs body with virtual time and stops what it started.
func inBubble(t *testing.T, body func(f *fabric)) {
	t.Helper()
	bubble.Test(t, func(t *testing.T) {
		f := &fabric{t: t, net: clustertest.New(1)}
		defer func() { // also after Fatal
			for _, r := range f.all {
				r.cancel()
			}
			for _, r := range f.all {
				<-r.ended
			}
			time.Sleep(time.Minute) // memberlist's last timers
		}()
		body(f)
	})
}

func (f *fabric) start(id string, change ...func(*Config)) *running {
	return f.startAt(id, f.net.Addr(), change...)
}

func (f *fabric) startAt(id string, at netip.AddrPort, change ...func(*Config)) *running {
	f.t.Helper()
	tr, err := f.net.Listen(at)
	if err != nil {
		f.t.Fatal(err)
	}
	if f.seeds == nil {
		f.seeds = []string{at.String()}
	}
	cfg := Config{
		NodeID: id, Cluster: "test", Transport: tr, Join: StaticJoin(f.seeds...),
		Meta: Meta{
			Control: netip.AddrPortFrom(netip.Addr{}, 7440), Data: netip.AddrPortFrom(netip.Addr{}, 7441),
			Zone: "a", Capabilities: CapTCP, Version: "v0",
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(f.t.Context())
	r := &running{Cluster: c, at: at, cancel: cancel, ended: make(chan struct{})}
	f.all = append(f.all, r)
	go func() {
		defer close(r.ended)
		r.err = c.Run(ctx)
	}()
	return r
}

// kill takes the node off the network and then stops its process.
func (f *fabric) kill(r *running) {
	f.net.Kill(r.at)
	r.cancel()
	<-r.ended
}

// leave ends the node in good order.
func (r *running) leave() {
	r.cancel()
	<-r.ended
}

// state returns the state that r gives to a node, 0 if it never heard of it.
func (r *running) state(id string) State {
	m, _ := r.Lookup(id)
	return m.State
}

// eventually waits up to limit of virtual time and returns how long it took.
func (f *fabric) eventually(limit time.Duration, what string, ok func() bool) time.Duration {
	f.t.Helper()
	from := time.Now()
	for !ok() {
		if time.Since(from) > limit {
			for _, r := range f.all {
				f.t.Logf("%s sees %s", r.cfg.NodeID, r.summary())
			}
			f.t.Fatalf("%s: not within %v", what, limit)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(from)
}

func (r *running) summary() string {
	var s []string
	for _, m := range r.Members() {
		s = append(s, fmt.Sprintf("%s=%s", m.ID, m.State))
	}
	return fmt.Sprint(s)
}

// allSee reports whether every one of nodes takes every other one for state.
func allSee(nodes []*running, state State) bool {
	return !slices.ContainsFunc(nodes, func(a *running) bool {
		return slices.ContainsFunc(nodes, func(b *running) bool { return a.state(b.cfg.NodeID) != state })
	})
}

func ips(nodes []*running) []netip.Addr {
	var list []netip.Addr
	for _, r := range nodes {
		list = append(list, r.at.Addr())
	}
	return list
}
