package node

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/test/needs"
)

// P9: that contents are verified less than asked is in a metric, with the reason.
func TestP9MetricOfVerification(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "xferd-metric") // where nothing can be read from a device
	if err != nil {
		needs.Missing(t, "no file system in memory: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := newPair(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "n1", "f"), []byte("content"), 0o640); err != nil {
		t.Fatal(err)
	}
	p.copy(t, "f", "wire")
	spec := client.Copy("n1", filepath.Join(dir, "n1", "f"), "n2", filepath.Join(dir, "n2", "media"))
	spec.Verify = xferv1.Verify_VERIFY_MEDIA
	sub, err := p.client.Submit(context.Background(), "", spec)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.client.Wait(context.Background(), sub.GetName()); err != nil {
		t.Fatal(err)
	}
	families, err := p.nodes[0].metrics.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[[2]string]float64{}
	for _, f := range families {
		if f.GetName() != "xferd_verification" {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			got[[2]string{labels["verify"], labels["reason"]}] = m.GetGauge().GetValue()
		}
	}
	if len(got) != 2 || got[[2]string{"wire", ""}] != 1 || got[[2]string{"store", "MEMORY_FILE_SYSTEM"}] != 1 {
		t.Errorf("verification: %v", got)
	}
}

// Moved bytes are a counter at both ends, and every state has a row.
func TestMetricsOfATransfer(t *testing.T) {
	dir := t.TempDir()
	p := newPair(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "n1", "f"), make([]byte, 12_345), 0o640); err != nil {
		t.Fatal(err)
	}
	p.copy(t, "f", "wire")
	for i, want := range []map[string]float64{{"sent": 12_345, "received": 0}, {"sent": 0, "received": 12_345}} {
		families, err := p.nodes[i].metrics.Gatherer().Gather()
		if err != nil {
			t.Fatal(err)
		}
		states, nodes, moved := 0, 0, map[string]float64{}
		for _, f := range families {
			switch f.GetName() {
			case "xferd_transfers":
				states = len(f.GetMetric())
			case "xferd_nodes":
				nodes = len(f.GetMetric())
			case "xferd_moved_bytes_total":
				for _, m := range f.GetMetric() {
					for _, l := range m.GetLabel() {
						if l.GetName() == "direction" {
							moved[l.GetValue()] += m.GetCounter().GetValue()
						}
					}
				}
			}
		}
		if states != 9 || nodes != 4 || moved["sent"] != want["sent"] || moved["received"] != want["received"] {
			t.Errorf("node %d: %d states, %d states of nodes, moved %v, want %v", i+1, states, nodes, moved, want)
		}
	}
}
