package node

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/xferd/xferd/api/server"
	"github.com/xferd/xferd/internal/hostnet"
	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/verbs"
)

// errNotNamed: the operator has devices for the node, and not this one.
var errNotNamed = errors.New("transport.devices does not name it")

// RDMA is part of server.Nodes.
func (v *nodes) RDMA(_ context.Context, routeTo []netip.Addr) ([]server.RDMADevice, []server.Route) {
	devices := v.n.fabric.describe()
	var routes []server.Route
	for _, to := range routeTo {
		routes = append(routes, routeOver(devices, to))
	}
	return devices, routes
}

// describe tells of all devices, those of no use included, and why they are of
// none.
func (f *fabric) describe() []server.RDMADevice {
	if f.sys == nil {
		return nil // the transport has the reason
	}
	infos, err := f.sys.Devices()
	if err != nil {
		return nil
	}
	var out []server.RDMADevice
	for range maxLooks {
		out = f.look(infos)
		if !slices.ContainsFunc(out, func(d server.RDMADevice) bool { return d.Detail == closedMeanwhile }) {
			break
		}
	}
	return out
}

// closedMeanwhile is what is found where the device was let go since it was
// opened: another look finds out why.
const closedMeanwhile = "closed meanwhile"

func (f *fabric) look(infos []rdma.DeviceInfo) []server.RDMADevice {
	open, _ := f.open()
	var out []server.RDMADevice
	for _, i := range infos {
		d := server.RDMADevice{Name: i.Name, Reason: string(transport.NoDevice)}
		at := slices.IndexFunc(open, func(w *watched) bool { return w.Name() == i.Name })
		switch {
		case !i.Supported:
			d.Detail = "its transport is " + i.Transport + ", which is not used"
		case len(f.allowed) > 0 && !slices.Contains(f.allowed, i.Name):
			d.Detail = errNotNamed.Error()
		case at < 0:
			d.Detail = "it cannot be opened; the log of the node has more"
		default:
			f.describeDevice(open[at], &d)
		}
		out = append(out, d)
	}
	return out
}

func (f *fabric) describeDevice(w *watched, d *server.RDMADevice) {
	attr, err := w.Attr()
	if errors.Is(err, rdma.ErrClosed) {
		d.Detail = closedMeanwhile
		return
	}
	if err != nil {
		d.Detail = err.Error()
		f.letGo(w, err, slog.LevelWarn)
		return
	}
	for number := 1; number <= attr.Ports; number++ {
		p, err := describePort(w.Device, number)
		if errors.Is(err, rdma.ErrClosed) {
			d.Detail, d.Ports = closedMeanwhile, nil
			return
		}
		d.Ports = append(d.Ports, p)
		if p.Reason == "" {
			d.Reason, d.Detail = "", ""
		} else if d.Reason != "" {
			d.Reason, d.Detail = p.Reason, p.Detail
		}
	}
	if d.Reason != "" {
		f.letGo(w, errors.New(d.Detail), slog.LevelDebug)
	}
}

func describePort(d *rdma.Device, number int) (out server.RDMAPort, err error) {
	out.Number = number
	if _, reason, err := railOf(d, number); err != nil {
		out.Reason, out.Detail = string(reason), err.Error()
	}
	p, err := d.Port(number)
	if err != nil {
		return out, err
	}
	p.Port = number
	out.State, out.Link, out.MTU = p.State.String(), p.LinkLayer.String(), p.ActiveMTU.Bytes()
	entries, err := d.GIDs()
	if err != nil {
		return out, err
	}
	usable, rejected := verbs.RankGIDs(p, entries)
	gid := func(e *rdma.GIDEntry, why string) {
		out.GIDs = append(out.GIDs, server.RDMAGID{Index: e.Index, GID: e.GID.String(), Type: e.Type.String(), Rejected: why})
	}
	for i := range usable {
		gid(&usable[i], "")
	}
	for i := range rejected {
		gid(&rejected[i].GIDEntry, rejected[i].Why)
	}
	return out, nil
}

// routeOver finds out from which address a destination is reached, and which
// RDMA device has that.
func routeOver(devices []server.RDMADevice, to netip.Addr) server.Route {
	r := server.Route{Destination: to}
	host := hostnet.New()
	found, err := host.RouteTo(to)
	if err != nil {
		r.Err = err
		return r
	}
	r.Source = found.Source
	if all, err := host.Interfaces(); err == nil {
		for _, in := range all {
			if in.Index == found.Index {
				r.Interface = in.Name
			}
		}
	}
	for _, d := range devices {
		for _, p := range d.Ports {
			for _, g := range p.GIDs {
				addr, err := netip.ParseAddr(g.GID)
				if err == nil && p.Reason == "" && g.Rejected == "" && addr.Unmap() == found.Source.Unmap() {
					r.Device, r.Port, r.GIDIndex = d.Name, p.Number, g.Index
					return r
				}
			}
		}
	}
	return r
}
