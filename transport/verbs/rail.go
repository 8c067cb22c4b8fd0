package verbs

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/xferd/xferd/rdma"
)

// Rail is a port of a device that can be used.
type Rail struct {
	Device *rdma.Device
	Port   rdma.PortAttr
	// GIDs are the entries that can be used, best first. On Ethernet only
	// RoCE v2.
	GIDs []rdma.GIDEntry
}

func (r *Rail) String() string { return fmt.Sprintf("%s port %d", r.Device.Name(), r.Port.Port) }

func (r *Rail) ethernet() bool { return r.Port.LinkLayer == rdma.LinkEthernet }

// offeredRail is a rail as its peer sees it.
type offeredRail struct {
	Ethernet bool
	LID      uint16   `json:",omitempty"`
	MTU      rdma.MTU // active
	GIDs     []rdma.GID
}

// offerOf describes rails to a peer, with the best addresses of each: no more than
// a peer takes.
func offerOf(rails []Rail) []offeredRail {
	offered := make([]offeredRail, len(rails))
	most := min(maxGIDs, maxOfferedGIDs/max(len(rails), 1))
	for i := range rails {
		r := &rails[i]
		o := offeredRail{Ethernet: r.ethernet(), LID: r.Port.LID, MTU: r.Port.ActiveMTU}
		for _, g := range r.GIDs[:min(len(r.GIDs), most)] {
			o.GIDs = append(o.GIDs, g.GID)
		}
		offered[i] = o
	}
	return offered
}

// path is a way from a rail of this node to one of the peer.
type path struct {
	rail   *Rail
	gid    rdma.GIDEntry // of rail
	peer   int           // index of the peer's rail
	remote rdma.GID
	lid    uint16
	mtu    rdma.MTU // the smaller one of both ends
}

// errNoPath: no rail of this node leads to one of the peer.
var errNoPath = errors.New("no RDMA port of this node leads to one of the peer")

// choosePaths finds at most one path to each rail of the peer, each from
// another rail of this node where there are several. On Ethernet it is to the
// peer's address by the route of the kernel, which tells the address of this node,
// and thereby the rail and the entry of its GID table. On InfiniBand it is from a
// port of the same subnet, the next one that has no path yet.
func choosePaths(rails []Rail, offered []offeredRail, route func(netip.Addr) (netip.Addr, error)) ([]path, error) {
	var paths []path
	var why error
	used := map[*Rail]bool{}
	for i := range offered {
		o := &offered[i]
		p, err := pathTo(rails, o, used, route)
		if err != nil {
			why = err
			continue
		}
		if used[p.rail] {
			continue // a second path over the same port gives nothing
		}
		used[p.rail] = true
		p.peer, p.lid, p.mtu = i, o.LID, min(o.MTU, p.rail.Port.ActiveMTU)
		paths = append(paths, p)
	}
	if len(paths) == 0 {
		if why == nil {
			why = errors.New("the peer offers none")
		}
		return nil, fmt.Errorf("%w: %w", errNoPath, why)
	}
	return paths, nil
}

func pathTo(rails []Rail, o *offeredRail, used map[*Rail]bool, route func(netip.Addr) (netip.Addr, error)) (path, error) {
	if o.MTU.Bytes() == 0 {
		return path{}, fmt.Errorf("the peer offers MTU %d", o.MTU)
	}
	if !o.Ethernet {
		return pathWithin(rails, o, used)
	}
	err := errors.New("the peer offers no address")
	var found path // from a rail that has a path already
	for _, g := range o.GIDs {
		local, rerr := route(g.Addr())
		if rerr != nil {
			err = fmt.Errorf("no route to %s: %w", g, rerr)
			continue
		}
		for i := range rails {
			r := &rails[i]
			for _, e := range r.GIDs {
				if !r.ethernet() || e.GID.Addr() != local.Unmap() {
					continue
				}
				if found = (path{rail: r, gid: e, remote: g}); !used[r] {
					return found, nil
				}
			}
		}
		err = fmt.Errorf("the way to %s is from %s, which is the address of no RDMA port", g, local)
	}
	if found.rail != nil {
		return found, nil
	}
	return path{}, err
}

// pathWithin is pathTo within a subnet of InfiniBand, of which the GIDs of its ports
// have the first half in common.
func pathWithin(rails []Rail, o *offeredRail, used map[*Rail]bool) (path, error) {
	var found path
	for i := range rails {
		r := &rails[i]
		if r.ethernet() || len(r.GIDs) == 0 || len(o.GIDs) == 0 || [8]byte(r.GIDs[0].GID[:8]) != [8]byte(o.GIDs[0][:8]) {
			continue
		}
		found = path{rail: r, gid: r.GIDs[0], remote: o.GIDs[0]}
		if !used[r] {
			break
		}
	}
	if found.rail == nil {
		return path{}, errors.New("the peer's port is on InfiniBand, and this node has none in its subnet")
	}
	return found, nil
}

// address is the address vector from one of the GIDs of a rail to a peer.
func address(r *Rail, gid rdma.GIDEntry, remote rdma.GID, lid uint16, flow uint32) rdma.AddressVector {
	av := rdma.AddressVector{Port: r.Port.Port, DestLID: lid}
	if r.ethernet() || r.Port.GRHRequired {
		av.Global, av.DestGID, av.SourceIndex = true, remote, gid.Index
		av.HopLimit, av.FlowLabel = 64, flow&0xfffff
	}
	return av
}
