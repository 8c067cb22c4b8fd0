package server

import (
	"context"
	"net/netip"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// RDMADevice is an RDMA device of this node. Reason and Detail say why none of
// its ports can be used, and are empty where one can.
type RDMADevice struct {
	Name           string
	Reason, Detail string
	Ports          []RDMAPort
}

// RDMAPort is a port of an RDMA device. Reason and Detail say why it cannot be
// used, and are empty where it can.
type RDMAPort struct {
	Number         int
	State, Link    string
	MTU            int // bytes
	Reason, Detail string
	GIDs           []RDMAGID // in the order in which they are preferred
}

// RDMAGID is an entry of the address table of a port. Rejected is empty where it
// is used.
type RDMAGID struct {
	Index     int
	GID, Type string
	Rejected  string
}

// Route is how this node reaches an address.
type Route struct {
	Destination, Source netip.Addr
	Interface           string
	Device              string // that has Source; empty where no RDMA device has
	Port, GIDIndex      int
	Err                 error
}

// maxRoutes bounds route_to.
const maxRoutes = 64

// reportRDMA adds devices and routes to what this node says of itself.
func (s *Server) reportRDMA(ctx context.Context, routeTo []string, m *xferv1.Node) error {
	if len(routeTo) > maxRoutes {
		return invalid("route_to", "%d addresses, at most %d are allowed", len(routeTo), maxRoutes)
	}
	to := make([]netip.Addr, len(routeTo))
	for i, text := range routeTo {
		var err error
		if to[i], err = netip.ParseAddr(text); err != nil {
			return invalid("route_to", "%v", err)
		}
	}
	devices, routes := s.cfg.Nodes.RDMA(ctx, to)
	for _, d := range devices {
		m.RdmaDevices = append(m.RdmaDevices, rdmaDeviceOut(&d))
	}
	for _, r := range routes {
		out := &xferv1.Route{
			Destination: r.Destination.String(), Interface: text(r.Interface),
			RdmaDevice: text(r.Device), RdmaPort: int32(r.Port), RdmaGidIndex: int32(r.GIDIndex),
		}
		if r.Source.IsValid() {
			out.Source = r.Source.String()
		}
		if r.Err != nil {
			out.Error = text(r.Err.Error())
		}
		m.Routes = append(m.Routes, out)
	}
	return nil
}

func rdmaDeviceOut(d *RDMADevice) *xferv1.RdmaDevice {
	m := &xferv1.RdmaDevice{Name: text(d.Name), Reason: d.Reason, Detail: text(d.Detail)}
	for _, p := range d.Ports {
		port := &xferv1.RdmaPort{
			Number: int32(p.Number), State: p.State, LinkLayer: p.Link, Mtu: int32(p.MTU), Reason: p.Reason, Detail: text(p.Detail),
		}
		for _, g := range p.GIDs {
			port.Gids = append(port.Gids, &xferv1.RdmaGid{Index: int32(g.Index), Gid: g.GID, Type: g.Type, Rejected: text(g.Rejected)})
		}
		m.Ports = append(m.Ports, port)
	}
	return m
}
