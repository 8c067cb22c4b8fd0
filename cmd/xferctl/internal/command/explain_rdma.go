package command

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

// maxRouteTo is how many addresses a node may be asked about at once.
const maxRouteTo = 64

// rdmaAddresses are those of a node that RDMA may be sent to, as xferd would
// offer them.
func rdmaAddresses(n *xferv1.Node) []string {
	var out []string
	for _, d := range n.GetRdmaDevices() {
		for _, p := range d.GetPorts() {
			if p.GetReason() != "" || p.GetLinkLayer() != "Ethernet" {
				continue
			}
			for _, g := range p.GetGids() {
				if addr, err := netip.ParseAddr(g.GetGid()); err == nil && g.GetRejected() == "" && len(out) < maxRouteTo {
					out = append(out, addr.Unmap().String())
				}
			}
		}
	}
	return out
}

// explained gets both nodes; the source says how it reaches the target's RDMA
// addresses, where there are any.
func explained(ctx context.Context, api API, spec *xferv1.TransferSpec) (source, target *xferv1.Node, err error) {
	if target, err = api.GetNode(ctx, spec.GetTargetNode()); err != nil {
		return nil, nil, err
	}
	source, err = api.GetNode(ctx, spec.GetSourceNode(), rdmaAddresses(target)...)
	return source, target, err
}

func (a *app) printDevices(n *xferv1.Node) {
	for _, d := range n.GetRdmaDevices() {
		if len(d.GetPorts()) == 0 {
			a.outf("    %s%s\n", show.Name(d.GetName()), notUsed(d.GetReason(), d.GetDetail()))
		}
		for _, p := range d.GetPorts() {
			a.outf("    %s port %d: %s, %s, MTU %d%s\n", show.Name(d.GetName()), p.GetNumber(),
				show.Name(p.GetState()), show.Name(p.GetLinkLayer()), p.GetMtu(), notUsed(p.GetReason(), p.GetDetail()))
			for i, g := range p.GetGids() {
				how := fmt.Sprintf("choice %d", i+1)
				if g.GetRejected() != "" {
					how = "no: " + show.Name(g.GetRejected())
				}
				a.outf("      gid %d  %s  %s  %s\n", g.GetIndex(), show.Name(g.GetGid()), show.Name(g.GetType()), how)
			}
		}
	}
}

func notUsed(reason, detail string) string {
	if reason == "" {
		return ""
	}
	return strings.TrimRight(" - no ("+show.Name(reason)+") "+show.Name(detail), " ")
}

// printRoutes tells how the source reaches each RDMA address of the target.
func (a *app) printRoutes(source, target *xferv1.Node) {
	if len(source.GetRoutes()) == 0 {
		return
	}
	a.outf("routes of %s to the RDMA addresses of %s:\n", nodeID(source), nodeID(target))
	for _, r := range source.GetRoutes() {
		switch {
		case r.GetError() != "":
			a.outf("  %s: no, %s\n", show.Name(r.GetDestination()), show.Name(r.GetError()))
		case r.GetRdmaDevice() == "":
			a.outf("  %s: no, from %s by %s, which is the address of no RDMA port in use\n",
				show.Name(r.GetDestination()), show.Name(r.GetSource()), show.Name(r.GetInterface()))
		default:
			a.outf("  %s: from %s by %s, %s port %d gid %d, MTU %d\n", show.Name(r.GetDestination()), show.Name(r.GetSource()), show.Name(r.GetInterface()),
				show.Name(r.GetRdmaDevice()), r.GetRdmaPort(), r.GetRdmaGidIndex(), min(mtuOf(source, r), mtuTo(target, r)))
		}
	}
}

// mtuOf is that of the port which a route leaves by, mtuTo that of the port
// which it leads to.
func mtuOf(source *xferv1.Node, r *xferv1.Route) int32 {
	for _, d := range source.GetRdmaDevices() {
		for _, p := range d.GetPorts() {
			if d.GetName() == r.GetRdmaDevice() && p.GetNumber() == r.GetRdmaPort() {
				return p.GetMtu()
			}
		}
	}
	return 0
}

func mtuTo(target *xferv1.Node, r *xferv1.Route) int32 {
	for _, d := range target.GetRdmaDevices() {
		for _, p := range d.GetPorts() {
			for _, g := range p.GetGids() {
				if addr, err := netip.ParseAddr(g.GetGid()); err == nil && addr.Unmap().String() == r.GetDestination() {
					return p.GetMtu()
				}
			}
		}
	}
	return 0
}
