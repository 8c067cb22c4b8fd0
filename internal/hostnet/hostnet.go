package hostnet

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/jsimonetti/rtnetlink/v2"
	"golang.org/x/sys/unix"
)

// Kind is the link layer of an interface.
type Kind uint8

const (
	Other Kind = iota
	Ethernet
	InfiniBand // IPoIB
	Loopback
)

func (k Kind) String() string {
	switch k {
	case Ethernet:
		return "ethernet"
	case InfiniBand:
		return "infiniband"
	case Loopback:
		return "loopback"
	}
	return "other"
}

// Interface is what is known of one network interface.
type Interface struct {
	Name     string
	Index    int
	Kind     Kind
	MTU      int   // bytes
	Up       bool  // administratively up and with a carrier where the driver tells
	Speed    int64 // bits per second; 0: unknown
	NUMANode int   // UnknownNUMA: none
	Addrs    []netip.Prefix
	Hardware net.HardwareAddr
}

// ErrNotLocal says that no interface has the address.
var ErrNotLocal = errors.New("no interface has this address")

// ErrNoAddress says that the host has no address that others could reach.
var ErrNoAddress = errors.New("no address besides loopback")

// Host reads the facts of the network namespace of the calling thread. It keeps
// nothing between calls and is safe for concurrent use.
type Host struct {
	sys    sysfs
	mapper func(netdev string) (string, error) // netdev to RDMA device
}

// New returns the host as the kernel shows it under /sys.
func New() *Host { return newHost(os.DirFS("/sys")) }

func newHost(sys fs.FS) *Host { return &Host{sys: sysfs{sys}, mapper: mapNetdev} }

// Interfaces returns all interfaces in the order of their index.
func (h *Host) Interfaces() ([]Interface, error) {
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return nil, fmt.Errorf("route netlink: %w", err)
	}
	defer func() { _ = conn.Close() }()
	links, err := conn.Link.List()
	if err != nil {
		return nil, fmt.Errorf("list of interfaces: %w", err)
	}
	addrs, err := conn.Address.List()
	if err != nil {
		return nil, fmt.Errorf("list of addresses: %w", err)
	}
	list := make([]Interface, 0, len(links))
	for i := range links {
		if in, ok := h.fromLink(&links[i]); ok {
			in.Addrs = addrsOf(addrs, in.Index)
			list = append(list, in)
		}
	}
	slices.SortFunc(list, func(a, b Interface) int { return cmp.Compare(a.Index, b.Index) })
	return list, nil
}

// fromLink reports false for a message without a usable name.
func (h *Host) fromLink(l *rtnetlink.LinkMessage) (Interface, bool) {
	a := l.Attributes
	if a == nil || !okName(a.Name) {
		return Interface{}, false
	}
	in := Interface{
		Name: a.Name, Index: int(l.Index), MTU: int(a.MTU), Hardware: a.Address,
		Up:    l.Flags&unix.IFF_UP != 0 && (a.Carrier == nil || *a.Carrier != 0),
		Speed: h.sys.speed(a.Name), NUMANode: h.sys.numaNode(a.Name),
	}
	switch l.Type {
	case unix.ARPHRD_ETHER:
		in.Kind = Ethernet
	case unix.ARPHRD_INFINIBAND:
		in.Kind = InfiniBand
	case unix.ARPHRD_LOOPBACK:
		in.Kind = Loopback
	}
	return in, true
}

func addrsOf(all []rtnetlink.AddressMessage, index int) []netip.Prefix {
	var list []netip.Prefix
	for i := range all {
		m := &all[i]
		if int(m.Index) != index || m.Attributes == nil {
			continue
		}
		// On point-to-point links Address is the other end.
		raw := m.Attributes.Local
		if raw == nil {
			raw = m.Attributes.Address
		}
		ip, ok := netip.AddrFromSlice(raw)
		if !ok {
			continue
		}
		ip = ip.Unmap()
		if int(m.PrefixLength) <= ip.BitLen() {
			list = append(list, netip.PrefixFrom(ip, int(m.PrefixLength)))
		}
	}
	return list
}

// ByAddr returns the interface that has the address. ErrNotLocal if none has.
func (h *Host) ByAddr(addr netip.Addr) (Interface, error) {
	all, err := h.Interfaces()
	if err != nil {
		return Interface{}, err
	}
	addr = addr.Unmap().WithZone("")
	for _, in := range all {
		if slices.ContainsFunc(in.Addrs, func(p netip.Prefix) bool { return p.Addr() == addr }) {
			return in, nil
		}
	}
	return Interface{}, fmt.Errorf("%s: %w", addr, ErrNotLocal)
}
