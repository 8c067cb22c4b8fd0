package verbs

import (
	"cmp"
	"slices"

	"github.com/xferd/xferd/rdma"
)

// RejectedGID is an entry of a GID table that is not used, and why.
type RejectedGID struct {
	rdma.GIDEntry
	Why string
}

// RankGIDs sorts out which entries of a port's GID table can be used: those of
// RoCE v2 with an address that can be routed, IPv4 first, in the order of the
// table otherwise. On InfiniBand it is the first entry. Private addresses are as
// good as others: data centres use them for RoCE. Which of several is used to
// reach a peer is the route's decision.
func RankGIDs(port rdma.PortAttr, entries []rdma.GIDEntry) (usable []rdma.GIDEntry, rejected []RejectedGID) {
	for _, e := range entries {
		if e.Port != port.Port {
			continue
		}
		addr := e.GID.Addr()
		why := ""
		switch {
		case e.GID.IsZero():
			why = "empty"
		case port.LinkLayer == rdma.LinkInfiniBand:
			if len(usable) > 0 {
				why = "not the first"
			}
		case e.Type != rdma.GIDRoCEv2:
			why = e.Type.String() + ", only RoCE v2 is used"
		case addr.IsLinkLocalUnicast():
			why = "link-local, cannot be routed"
		case addr.IsLoopback(), addr.IsMulticast(), addr.IsUnspecified():
			why = "not the address of a port"
		}
		if why != "" {
			rejected = append(rejected, RejectedGID{e, why})
			continue
		}
		usable = append(usable, e)
	}
	slices.SortStableFunc(usable, func(a, b rdma.GIDEntry) int {
		return cmp.Compare(btoi(!a.GID.Addr().Is4()), btoi(!b.GID.Addr().Is4()))
	})
	return usable, rejected
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
