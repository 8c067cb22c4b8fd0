package node

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/xferd/xferd/cluster"
	"github.com/xferd/xferd/transport/verbs"
)

// What the sessions of RDMA counted, by port of this node and by peer. A peer that
// left has no series any more: there are never more than ports times members.
var (
	railLabels = []string{"device", "port", "peer"}
	flowLabels = []string{"device", "port", "peer", "direction"}

	descRDMABytes    = prometheus.NewDesc("rdma_bytes_total", "Bytes of file content that went by an RDMA port, those that were sent again included.", flowLabels, nil)
	descRDMAChunks   = prometheus.NewDesc("rdma_chunks_total", "Chunks that went by an RDMA port.", flowLabels, nil)
	descRDMASessions = prometheus.NewDesc("rdma_sessions_total", "Sessions that came up; one of several ports counts at each.", flowLabels, nil)
	descRDMAOpen     = prometheus.NewDesc("rdma_sessions_open", "Sessions that are not over.", flowLabels, nil)
	descRDMARests    = prometheus.NewDesc("rdma_rests_total", "How often a port was left alone for a peer since it broke.", railLabels, nil)
	descRDMAFalls    = prometheus.NewDesc("rdma_fallbacks_total", "Sessions of this node as source that did not come up or broke, so that the rest went another way, by the port to blame; device is empty where it is none alone.", append(railLabels[:3:3], "reason"), nil)
	descRDMADone     = prometheus.NewDesc("rdma_completions_total", "Completions that devices gave.", railLabels, nil)
	descRDMACalls    = prometheus.NewDesc("rdma_calls_total", "Calls of the RDMA library while chunks move: for completions (poll), to be woken by one (notify), for what woke (wait), with work (post).", append(railLabels[:3:3], "call"), nil)
)

func rdmaDescs() []*prometheus.Desc {
	return []*prometheus.Desc{descRDMABytes, descRDMAChunks, descRDMASessions, descRDMAOpen, descRDMARests, descRDMAFalls, descRDMADone, descRDMACalls}
}

func (c collector) rdma(ch chan<- prometheus.Metric) {
	v := c.n.verbs
	if v == nil {
		return
	}
	v.Forget(func(peer string) bool {
		m, ok := c.n.cluster.Lookup(peer)
		return !ok || m.State == cluster.Left
	})
	for _, a := range v.Accounts() {
		rail := []string{a.Device, strconv.Itoa(a.Port), a.Peer}
		count := func(d *prometheus.Desc, n int64, more ...string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), append(rail[:3:3], more...)...)
		}
		for why, n := range a.FallBacks {
			count(descRDMAFalls, n, string(why))
		}
		if a.Device == "" {
			continue
		}
		for direction, t := range map[string]verbs.Traffic{"sent": a.Sent, "received": a.Received} {
			count(descRDMABytes, t.Bytes, direction)
			count(descRDMAChunks, t.Chunks, direction)
			count(descRDMASessions, t.Sessions, direction)
			ch <- prometheus.MustNewConstMetric(descRDMAOpen, prometheus.GaugeValue, float64(t.Open), append(rail[:3:3], direction)...)
		}
		count(descRDMARests, a.Rests)
		count(descRDMADone, a.Completions)
		for call, n := range map[string]int64{"poll": a.Polls, "notify": a.Notifies, "wait": a.Waits, "post": a.Posts} {
			count(descRDMACalls, n, call)
		}
	}
}
