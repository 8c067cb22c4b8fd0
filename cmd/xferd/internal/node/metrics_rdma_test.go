package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xferd/xferd/internal/hostnet"
	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/rdma/rdmatest"
	"github.com/xferd/xferd/test/needs"
)

// series reads the metrics of a node whose names begin with a prefix, as in
// "name{label=value,...}", the label of the node left out.
func series(t *testing.T, n *Node, prefix string) map[string]float64 {
	t.Helper()
	families, err := n.metrics.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), prefix) {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				if l.GetName() != "node" {
					labels = append(labels, l.GetName()+"="+l.GetValue())
				}
			}
			all[f.GetName()+"{"+strings.Join(labels, ",")+"}"] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return all
}

// What goes by RDMA is counted by port and peer at both ends, falling back is, and
// a peer that left has no series.
func TestMetricsOfRDMA(t *testing.T) {
	local, err := hostnet.New().DefaultAdvertise()
	if err != nil {
		needs.Missing(t, "no address that can be routed: %v", err)
	}
	fabric := rdmatest.New(t, rdmatest.Options{})
	device := fabric.Device("host", rdmatest.DeviceConfig{Name: "fake0", Addrs: []string{local.String()}})
	dir := t.TempDir()
	p := newPair(t, dir, rdma.New(fabric.Driver("host")), rdma.New(fabric.Driver("host")))
	if err := os.WriteFile(filepath.Join(dir, "n1", "f"), make([]byte, 9<<20), 0o640); err != nil {
		t.Fatal(err)
	}
	if got := p.copy(t, "f", "g").GetDataPath(); got.GetTransport() != "rdma" {
		t.Fatalf("path %v", got)
	}
	for i, peer := range []string{"n2", "n1"} {
		got := series(t, p.nodes[i], "xferd_rdma_")
		at := [2]float64{1, 0}
		if i == 1 {
			at = [2]float64{0, 1}
		}
		for j, direction := range []string{"sent", "received"} {
			labels := fmt.Sprintf("{device=fake0,direction=%s,peer=%s,port=1}", direction, peer)
			for name, want := range map[string]float64{"bytes_total": 9 << 20, "chunks_total": 3, "sessions_total": 1, "sessions_open": 0} {
				if n, ok := got["xferd_rdma_"+name+labels]; !ok || n != want*at[j] {
					t.Errorf("%s%s is %v, %t, want %v", name, labels, n, ok, want*at[j])
				}
			}
		}
		labels := "device=fake0,peer=" + peer + ",port=1}"
		if n := got["xferd_rdma_completions_total{"+labels]; n < 3 {
			t.Errorf("%v completions", n)
		}
		for _, call := range []string{"poll", "notify", "post"} {
			if n := got["xferd_rdma_calls_total{call="+call+","+labels]; n == 0 {
				t.Errorf("no calls to %s in %v", call, got)
			}
		}
		if n, ok := got["xferd_rdma_rests_total{"+labels]; !ok || n != 0 {
			t.Errorf("%v rests, %t", n, ok)
		}
	}
	// The queue pairs of the next session break.
	device.Inject(rdmatest.SendFault{Index: 3, Override: true, Status: rdma.RetryExceeded, Land: rdmatest.LandNothing})
	if got := p.copy(t, "f", "h").GetDataPath(); got.GetTransport() != "tcp" {
		t.Fatalf("path %v", got)
	}
	got := series(t, p.nodes[0], "xferd_rdma_")
	for name, want := range map[string]float64{
		"xferd_rdma_fallbacks_total{device=fake0,peer=n2,port=1,reason=QP_ERROR}": 1,
		"xferd_rdma_rests_total{device=fake0,peer=n2,port=1}":                     1,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v, in %v", name, got[name], want, got)
		}
	}
	p.stop[1]()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for len(series(t, p.nodes[0], "xferd_rdma_")) > 0 {
		select {
		case <-ctx.Done():
			t.Fatalf("a peer that left has %v", series(t, p.nodes[0], "xferd_rdma_"))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// A node without RDMA has none of its series.
func TestNoMetricsWithoutRDMA(t *testing.T) {
	p := newPair(t, t.TempDir())
	if p.nodes[0].verbs != nil {
		t.Skip("this machine has RDMA")
	}
	if got := series(t, p.nodes[0], "xferd_rdma_"); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
