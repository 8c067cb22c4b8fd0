package server

import (
	"testing"

	"google.golang.org/protobuf/proto"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

// A node tells of its devices itself, whichever node is asked, with the routes
// that were asked for.
func TestNodeTellsItsDevices(t *testing.T) {
	c := newCluster(t, "n1", "n2")
	for _, at := range []*fakeNode{c.nodes["n1"], c.nodes["n2"]} {
		r, err := at.nodes().GetNode(as(t, "ann"), &xferv1.GetNodeRequest{Name: "nodes/n2", RouteTo: []string{"10.0.0.2", "fd00::2"}})
		if err != nil {
			t.Fatal(err)
		}
		want := &xferv1.Node{
			RdmaDevices: []*xferv1.RdmaDevice{
				{Name: "rxe0", Ports: []*xferv1.RdmaPort{{Number: 1, State: "ACTIVE", LinkLayer: "Ethernet", Mtu: 4096, Gids: []*xferv1.RdmaGid{
					{Index: 3, Gid: "::ffff:10.0.0.1", Type: "RoCE v2"}, {Gid: "fe80::1", Type: "RoCE v2", Rejected: "link-local"},
				}}}},
				{Name: "rxe1", Reason: "PORT_DOWN", Detail: "port 1 of rxe1 is DOWN"},
			},
			Routes: []*xferv1.Route{
				{Destination: "10.0.0.2", Source: "10.0.0.1", Interface: "eth0", RdmaDevice: "rxe0", RdmaPort: 1, RdmaGidIndex: 3},
				{Destination: "fd00::2", Source: "10.0.0.1", Interface: "eth0", RdmaDevice: "rxe0", RdmaPort: 1, RdmaGidIndex: 3},
			},
		}
		got := &xferv1.Node{RdmaDevices: r.GetNode().GetRdmaDevices(), Routes: r.GetNode().GetRoutes()}
		if !proto.Equal(got, want) {
			t.Errorf("%v", got)
		}
	}
	_, err := c.nodes["n1"].nodes().GetNode(as(t, "ann"), &xferv1.GetNodeRequest{Name: "nodes/n1", RouteTo: []string{"host"}})
	wantReason(t, "no address", err, transfer.InvalidSpec)
	_, err = c.nodes["n1"].nodes().GetNode(as(t, "ann"), &xferv1.GetNodeRequest{Name: "nodes/n1", RouteTo: make([]string, maxRoutes+1)})
	wantReason(t, "too many", err, transfer.InvalidSpec)
}
