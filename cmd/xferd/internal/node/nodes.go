package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/xferd/xferd/api/server"
	"github.com/xferd/xferd/cluster"
	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// drainState is whether the node takes new transfers; it outlives the process.
type drainState struct {
	s     *store.Store
	table *store.Table[bool]
	now   atomic.Bool
}

func loadDrain(s *store.Store) (*drainState, error) {
	d := &drainState{s: s, table: store.NewTable[bool](s, "node")}
	on, _, err := d.table.Get("draining")
	d.now.Store(on)
	return d, err
}

func (d *drainState) on() bool { return d.now.Load() }

func (d *drainState) set(ctx context.Context, on bool) error {
	err := d.s.Update(ctx, func(tx *store.Tx) error { return d.table.Put(tx, "draining", on) })
	if err == nil {
		d.now.Store(on)
	}
	return err
}

// nodes shows the membership to the API.
type nodes struct{ n *Node }

func (v *nodes) List() ([]server.Node, uint64) {
	// The revision first: a change in between is then told again by Changes.
	_, rev, _ := v.n.cluster.Since(0)
	var out []server.Node
	for _, m := range v.n.cluster.Members() {
		out = append(out, v.node(m))
	}
	return out, rev
}

func (v *nodes) Changes(ctx context.Context, since uint64) ([]server.Node, uint64, error) {
	for {
		events, rev, more := v.n.cluster.Since(since)
		if since > rev {
			return nil, rev, &transfer.Error{Reason: transfer.Compacted, Side: transfer.SideOwner, Node: transfer.NodeID(v.n.cfg.Name),
				Err: fmt.Errorf("revision %d of the membership has not come yet", since)}
		}
		if len(events) > 0 {
			out := make([]server.Node, 0, len(events))
			for _, ev := range events {
				out = append(out, v.node(ev.Member))
			}
			return out, rev, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, rev, nil
		}
	}
}

func (v *nodes) View() string { return v.n.cluster.Instance() }

func (v *nodes) Drain(ctx context.Context, on bool) error {
	if err := v.n.drain.set(ctx, on); err != nil {
		return err
	}
	if err := v.n.cluster.SetDraining(on); err != nil {
		return err
	}
	// So that whoever asks another node next finds it there. It is done and
	// durable whether they hear of it now or later.
	ctx, cancel := context.WithTimeout(ctx, drainTold)
	defer cancel()
	if err := v.n.cluster.WaitTold(ctx); err != nil {
		v.n.log.Debug("the others hear of the drain later", "err", err)
	}
	return nil
}

// drainTold bounds how long a drain waits for the others to hear of it.
const drainTold = 2 * time.Second

func (v *nodes) Load() (l server.Load) {
	l.Queued, l.Running = v.n.engine.Load()
	return l
}

func (v *nodes) Failing() (out []server.FailingFS) {
	for _, d := range v.n.receiver.Degraded() {
		out = append(out, server.FailingFS{Dir: d.Dir, Since: d.Since, Err: d.Err})
	}
	if f := v.n.store.Full(); f != nil {
		out = append(out, server.FailingFS{
			Dir: v.n.store.Dir(), Since: f.Since,
			Err: fmt.Errorf("%s: %w; free space on the file system of state_dir", transfer.StateNoSpace, f.Err),
		})
	}
	slices.SortFunc(out, func(a, b server.FailingFS) int { return cmp.Compare(a.Dir, b.Dir) })
	return out
}

func (v *nodes) node(m cluster.Member) server.Node {
	s := server.Node{
		ID: transfer.NodeID(m.ID), Draining: m.State == cluster.Draining, Insecure: m.Capabilities.Has(cluster.CapInsecure),
		Duplicate: m.Duplicate, Version: m.Version, ControlAddr: m.Addr, DataAddr: m.DataAddr,
		Labels: map[string]string{}, Since: m.Since, Started: m.Started, LastSeen: m.LastSeen,
	}
	switch m.State {
	case cluster.Alive, cluster.Draining:
		s.State = server.NodeAlive
	case cluster.Left:
		s.State = server.NodeLeft
	default:
		s.State = server.NodeFailed
	}
	for k, val := range map[string]string{"zone": m.Zone, "rack": m.Rack} {
		if val != "" {
			s.Labels[k] = val
		}
	}
	rdma := server.NodeTransport{Name: transport.RDMA, Usable: m.Capabilities.Has(cluster.CapRoCE) || m.Capabilities.Has(cluster.CapIB)}
	if !rdma.Usable {
		// Others tell only that they have none.
		rdma.Reason = string(transport.PeerHasNone)
		if m.ID == v.n.cfg.Name {
			rdma.Reason = string(v.n.fabric.reason())
		}
	}
	s.Transports = []server.NodeTransport{rdma, {Name: transport.TCP, Usable: m.Capabilities.Has(cluster.CapTCP)}}
	return s
}
