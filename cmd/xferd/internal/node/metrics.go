package node

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/xferd/xferd/cluster"
	"github.com/xferd/xferd/transfer"
)

// collector shows the node to Prometheus. Everything is read when it is asked
// for: nothing is counted twice, and the transfers pay nothing for it.
type collector struct{ n *Node }

var (
	descTransfers = prometheus.NewDesc("transfers", "Transfers that this node owns and remembers, by state.", []string{"state"}, nil)
	descMoved     = prometheus.NewDesc("moved_bytes_total", "Bytes of file content that crossed this node's edges since it started, those that were sent again included.", []string{"transport", "direction"}, nil)
	descFiles     = prometheus.NewDesc("files", "Files of the transfers that this node owns and remembers, by how they ended.", []string{"outcome"}, nil)
	descFallbacks = prometheus.NewDesc("transport_fallbacks", "Changes of transport of the transfers that this node owns and remembers.", []string{"from", "to", "reason"}, nil)
	descChosen    = prometheus.NewDesc("transport_chosen", "Transfers by the transport of their latest edge and the reason for it.", []string{"transport", "reason"}, nil)
	descVerified  = prometheus.NewDesc("verification", "Transfers by how their contents are verified, and why that is less than what was asked.", []string{"verify", "reason"}, nil)
	descMismatch  = prometheus.NewDesc("corrupt_extents", "Extents that arrived with a wrong digest, of the transfers that this node owns and remembers.", nil, nil)
	descIncoming  = prometheus.NewDesc("incoming_transfers", "Transfers that hold a destination on this node.", []string{"state"}, nil)
	descBuffers   = prometheus.NewDesc("buffer_bytes", "Buffer memory in use.", []string{"side"}, nil)
	descNodes     = prometheus.NewDesc("nodes", "Nodes of the cluster that this node knows, by state.", []string{"state"}, nil)
	descGossip    = prometheus.NewDesc("gossip_refused_total", "Gossip that was refused.", []string{"why"}, nil)
	descDegraded  = prometheus.NewDesc("degraded_filesystems", "File systems of destinations on which a write or a sync failed, and no later one succeeded yet.", nil, nil)
	descDraining  = prometheus.NewDesc("draining", "1 while this node takes no new transfers.", nil, nil)
)

func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descTransfers, descMoved, descFiles, descFallbacks, descChosen, descVerified, descMismatch,
		descIncoming, descBuffers, descNodes, descGossip, descDegraded, descDraining} {
		ch <- d
	}
	for _, d := range slices.Concat(rdmaDescs(), regionDescs) {
		ch <- d
	}
}

func (c collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	c.transfers(gauge)
	incoming := map[string]int{"running": 0, "paused": 0, "orphaned": 0}
	for _, in := range c.n.target.incoming() {
		switch {
		case in.Paused:
			incoming["paused"]++
		case in.Running:
			incoming["running"]++
		default:
			incoming["orphaned"]++
		}
	}
	for state, n := range incoming {
		gauge(descIncoming, float64(n), state)
	}
	gauge(descBuffers, float64(c.n.sendPool.InUse()), "send")
	gauge(descBuffers, float64(c.n.recvPool.InUse()), "receive")
	for name, m := range c.n.meter {
		for direction, n := range map[string]int64{"sent": m.sent.Load(), "received": m.received.Load()} {
			ch <- prometheus.MustNewConstMetric(descMoved, prometheus.CounterValue, float64(n), name, direction)
		}
	}
	nodes := map[string]int{}
	for _, s := range []cluster.State{cluster.Alive, cluster.Draining, cluster.Failed, cluster.Left} {
		nodes[s.String()] = 0
	}
	for _, m := range c.n.cluster.Members() {
		nodes[m.State.String()]++
	}
	for state, n := range nodes {
		gauge(descNodes, float64(n), state)
	}
	s := c.n.cluster.Stats()
	for why, n := range map[string]uint64{"bad_meta": s.BadMeta, "foreign": s.Foreign, "undecryptable": s.Undecryptable, "conflict": s.Conflicts} {
		ch <- prometheus.MustNewConstMetric(descGossip, prometheus.CounterValue, float64(n), why)
	}
	gauge(descDegraded, float64(len(c.n.receiver.Degraded())))
	draining := 0.0
	if c.n.drain.on() {
		draining = 1
	}
	gauge(descDraining, draining)
	c.rdma(ch)
	c.regions(ch)
}

func (c collector) transfers(gauge func(*prometheus.Desc, float64, ...string)) {
	type change struct{ from, to, reason string }
	type choice struct{ transport, reason string }
	type verification struct{ verify, reason string }
	files := map[string]int64{}
	states := map[transfer.State]int{ // those that no transfer is in have a row too
		transfer.StateQueued: 0, transfer.StateRunning: 0, transfer.StatePausing: 0, transfer.StatePaused: 0, transfer.StateCancelling: 0,
		transfer.StateSucceeded: 0, transfer.StatePartial: 0, transfer.StateFailed: 0, transfer.StateCancelled: 0,
	}
	fallbacks, chosen, verified := map[change]int{}, map[choice]int{}, map[verification]int{}
	var mismatches int64
	for _, t := range c.n.engine.All() {
		states[t.State]++
		files["copied"] += t.Counters.FilesCopied
		files["same"] += t.Counters.FilesSame
		files["skipped"] += t.Counters.FilesSkipped
		files["failed"] += t.Counters.FilesFailed
		mismatches += t.Counters.Mismatches
		for _, f := range t.Path.Fallbacks {
			fallbacks[change{f.From, f.To, string(f.Reason)}]++
		}
		if t.Path.Transport != "" {
			chosen[choice{t.Path.Transport, string(t.Path.Reason)}]++
		}
		if t.Path.Verify != "" {
			verified[verification{t.Path.Verify, string(t.Path.VerifyReason)}]++
		}
	}
	for s, n := range states {
		gauge(descTransfers, float64(n), string(s))
	}
	for outcome, n := range files {
		gauge(descFiles, float64(n), outcome)
	}
	for f, n := range fallbacks {
		gauge(descFallbacks, float64(n), f.from, f.to, f.reason)
	}
	for c, n := range chosen {
		gauge(descChosen, float64(n), c.transport, c.reason)
	}
	for v, n := range verified {
		gauge(descVerified, float64(n), v.verify, v.reason)
	}
	gauge(descMismatch, float64(mismatches))
}
