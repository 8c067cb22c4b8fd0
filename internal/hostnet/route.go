package hostnet

import (
	"fmt"
	"net/netip"

	"github.com/jsimonetti/rtnetlink/v2"
	"golang.org/x/sys/unix"
)

// Route is how packets to one destination leave the host.
type Route struct {
	Source  netip.Addr // the address that the kernel would put on them
	Gateway netip.Addr // not valid: the destination is on the link
	Index   int        // of the interface
}

// RouteTo asks the kernel's routing table. It sends no packet. The error wraps
// the errno, ENETUNREACH where there is no route.
func (h *Host) RouteTo(dst netip.Addr) (Route, error) {
	if !dst.IsValid() || dst.IsUnspecified() {
		return Route{}, fmt.Errorf("route to %s: not a destination", dst)
	}
	dst = dst.Unmap()
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return Route{}, fmt.Errorf("route netlink: %w", err)
	}
	defer func() { _ = conn.Close() }()
	req := &rtnetlink.RouteMessage{
		Family:     unix.AF_INET,
		DstLength:  uint8(dst.BitLen()),
		Attributes: rtnetlink.RouteAttributes{Dst: dst.AsSlice()},
	}
	if dst.Is6() {
		req.Family = unix.AF_INET6
	}
	found, err := conn.Route.Get(req)
	if err != nil {
		return Route{}, fmt.Errorf("route to %s: %w", dst, err)
	}
	if len(found) == 0 {
		return Route{}, fmt.Errorf("route to %s: %w", dst, unix.ENETUNREACH)
	}
	switch found[0].Type {
	case unix.RTN_UNREACHABLE, unix.RTN_BLACKHOLE, unix.RTN_PROHIBIT:
		return Route{}, fmt.Errorf("route to %s: %w", dst, unix.ENETUNREACH)
	}
	r := Route{Index: int(found[0].Attributes.OutIface)}
	if ip, ok := netip.AddrFromSlice(found[0].Attributes.Src); ok {
		r.Source = ip.Unmap()
	}
	if ip, ok := netip.AddrFromSlice(found[0].Attributes.Gateway); ok {
		r.Gateway = ip.Unmap()
	}
	if !r.Source.IsValid() {
		return Route{}, fmt.Errorf("route to %s: the kernel names no source address", dst)
	}
	return r, nil
}

// outside are destinations that only a default route leads to. They are
// documentation addresses, and nothing is sent there.
var outside = []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8::1")}

// DefaultAdvertise returns the address that peers most likely reach this host
// at: the source address of the default route, IPv4 first, else the first global
// address of an interface that is up. ErrNoAddress if there is none.
func (h *Host) DefaultAdvertise() (netip.Addr, error) {
	for _, dst := range outside {
		if r, err := h.RouteTo(dst); err == nil && r.Source.IsGlobalUnicast() {
			return r.Source, nil
		}
	}
	all, err := h.Interfaces()
	if err != nil {
		return netip.Addr{}, err
	}
	return firstGlobal(all)
}

func firstGlobal(all []Interface) (netip.Addr, error) {
	for _, v6 := range []bool{false, true} {
		for _, in := range all {
			for _, p := range in.Addrs {
				if a := p.Addr(); in.Up && in.Kind != Loopback && a.Is6() == v6 && a.IsGlobalUnicast() {
					return a, nil
				}
			}
		}
	}
	return netip.Addr{}, ErrNoAddress
}
