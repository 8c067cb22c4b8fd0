package command

import (
	"slices"
	"strings"
	"testing"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// explain shows devices, ports and addresses with the reason why each lost, and
// the routes between the nodes.
func TestExplainRDMA(t *testing.T) {
	device := func(addr string, mtu int32) *xferv1.RdmaDevice {
		return &xferv1.RdmaDevice{Name: "mlx5_0", Ports: []*xferv1.RdmaPort{{Number: 1, State: "ACTIVE", LinkLayer: "Ethernet", Mtu: mtu, Gids: []*xferv1.RdmaGid{
			{Index: 3, Gid: "::ffff:" + addr, Type: "RoCE v2"}, {Index: 0, Gid: "fe80::1", Type: "RoCE v2", Rejected: "link-local, cannot be routed"},
		}}}}
	}
	all := nodes()
	all[0].Transports = []*xferv1.NodeTransport{{Name: "rdma", Usable: true}, {Name: "tcp", Usable: true}}
	all[0].RdmaDevices = []*xferv1.RdmaDevice{device("10.0.0.1", 4096), {Name: "mlx5_1", Reason: "NO_DEVICE", Detail: "transport.devices does not name it"}}
	all[0].Routes = []*xferv1.Route{
		{Destination: "10.0.0.2", Source: "10.0.0.1", Interface: "eth0", RdmaDevice: "mlx5_0", RdmaPort: 1, RdmaGidIndex: 3},
		{Destination: "10.0.1.2", Source: "192.0.2.1", Interface: "eth9"}, {Destination: "10.0.2.2", Error: "network is unreachable"},
	}
	all[1].Transports = all[0].Transports
	all[1].RdmaDevices = []*xferv1.RdmaDevice{device("10.0.0.2", 1024)}
	if got := rdmaAddresses(all[1]); !slices.Equal(got, []string{"10.0.0.2"}) {
		t.Errorf("addresses %q", got)
	}
	api := &fake{nodes: all, plan: &xferv1.Plan{Transport: "rdma", Streams: 4, Verify: "wire"}}
	r := (&world{api: api}).run(t, "explain n1:/a n2:/b")
	for _, want := range []string{
		"transport:   rdma (the best there is)", "mlx5_0 port 1: ACTIVE, Ethernet, MTU 4096", "gid 3  ::ffff:10.0.0.1  RoCE v2  choice 1",
		"gid 0  fe80::1  RoCE v2  no: link-local, cannot be routed", "mlx5_1 - no (NO_DEVICE) transport.devices does not name it",
		"routes of n1 to the RDMA addresses of n2:", "10.0.0.2: from 10.0.0.1 by eth0, mlx5_0 port 1 gid 3, MTU 1024",
		"10.0.1.2: no, from 192.0.2.1 by eth9", "10.0.2.2: no, network is unreachable",
	} {
		if !strings.Contains(r.out, want) {
			t.Errorf("%q is missing in\n%s%s", want, r.out, r.err)
		}
	}
}

// TestExplainSaysWhatTheResultSays: within one node the kernel copies.
func TestExplainSaysWhatTheResultSays(t *testing.T) {
	for transport, want := range map[string]string{"local": "kernel_copy", "tcp": "wire"} {
		pairs := planPairs(&xferv1.TransferSpec{TargetNode: "n1"}, &xferv1.Plan{Transport: transport, Verify: "wire"})
		if !slices.Contains(pairs, [2]string{"verify", want}) {
			t.Errorf("%s: %q", transport, pairs)
		}
	}
}
