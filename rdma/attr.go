package rdma

import (
	"fmt"
	"net/netip"
)

// DeviceInfo is what can be known of a device without opening it.
type DeviceInfo struct {
	Name string // such as mlx5_0 or rxe0
	GUID uint64 // of the node
	// Supported is false for devices whose queue pairs cannot be connected by
	// exchanged parameters: iWARP, EFA and others that are not of transport
	// type InfiniBand (RoCE is).
	Supported bool
	Transport string // "InfiniBand", "iWARP", ...; for messages
}

// DeviceAttr are the limits of a device; see ibv_query_device(3).
type DeviceAttr struct {
	VendorID, VendorPart uint32
	Firmware             string
	Ports                int
	MaxQueuePairs        int
	MaxQueuePairRequests int // outstanding, of one send or receive queue
	MaxScatterGather     int
	MaxCompletionQueues  int
	MaxCompletions       int // entries of one completion queue
	MaxMemoryRegions     int
	MaxMemoryRegionSize  uint64 // bytes
	MaxProtectionDomains int
	MaxReadsAsTarget     int // outstanding RDMA reads of one queue pair
	MaxReadsAsInitiator  int
	AckDelay             int  // local_ca_ack_delay, exponent of 4.096 us
	Software             bool // rxe: vendor 0xffffff
}

// PortState is the logical state of a port.
type PortState uint8

// States of a port, as in ibv_query_port(3).
const (
	PortNop PortState = iota
	PortDown
	PortInit
	PortArmed
	PortActive
	PortActiveDefer
)

func (s PortState) String() string {
	switch s {
	case PortDown:
		return "DOWN"
	case PortInit:
		return "INIT"
	case PortArmed:
		return "ARMED"
	case PortActive:
		return "ACTIVE"
	case PortActiveDefer:
		return "ACTIVE_DEFER"
	}
	return "NOP"
}

// LinkLayer of a port.
type LinkLayer uint8

// Link layers, as in ibv_query_port(3).
const (
	LinkUnspecified LinkLayer = iota
	LinkInfiniBand
	LinkEthernet
)

func (l LinkLayer) String() string {
	switch l {
	case LinkInfiniBand:
		return "InfiniBand"
	case LinkEthernet:
		return "Ethernet"
	}
	return "unspecified"
}

// MTU is the enumerated size of the payload of a packet: 1 is 256 bytes, 5 is
// 4096.
type MTU uint8

// The sizes that there are.
const (
	MTU256 MTU = 1 + iota
	MTU512
	MTU1024
	MTU2048
	MTU4096
)

// Bytes returns the size, 0 for what is not a size.
func (m MTU) Bytes() int {
	if m < MTU256 || m > MTU4096 {
		return 0
	}
	return 128 << m
}

func (m MTU) String() string { return fmt.Sprint(m.Bytes()) }

// PortAttr describes a port; see ibv_query_port(3).
type PortAttr struct {
	Port              int
	State             PortState
	LinkLayer         LinkLayer
	ActiveMTU, MaxMTU MTU
	MaxMessage        uint32 // bytes of one work request
	LID, SMLID        uint16 // InfiniBand
	GIDTableLen       int
	PKeyTableLen      int
	// GRHRequired: addresses need the global part on InfiniBand too.
	GRHRequired bool
	// Speed in bits per second, lanes included; 0 where it is not known.
	Speed uint64
}

// GID is a global identifier of a port, in network byte order. On RoCE v2 it is
// an IP address, IPv4 ones mapped into IPv6.
type GID [16]byte

// Addr returns the GID as the IP address that it is on RoCE v2.
func (g GID) Addr() netip.Addr { return netip.AddrFrom16(g).Unmap() }

// IsZero reports whether the GID is unset.
func (g GID) IsZero() bool { return g == GID{} }

func (g GID) String() string { return netip.AddrFrom16(g).String() }

// GIDOf returns the GID of an IP address on RoCE v2.
func GIDOf(a netip.Addr) GID { return GID(a.As16()) }

// GIDType tells which packets an entry of the GID table makes.
type GIDType uint8

// Types of a GID.
const (
	GIDInfiniBand GIDType = iota
	GIDRoCEv1
	GIDRoCEv2
)

func (t GIDType) String() string {
	switch t {
	case GIDRoCEv1:
		return "RoCE v1"
	case GIDRoCEv2:
		return "RoCE v2"
	}
	return "InfiniBand"
}

// GIDEntry is an entry of the GID table of a port. Index holds only until the
// next change of addresses (EventGIDChange): store GID and Interface, never the
// index.
type GIDEntry struct {
	GID       GID
	Port      int
	Index     int
	Type      GIDType
	Interface int // index of the network interface; 0 where there is none
}

// AddressVector is the way to a peer; see ibv_modify_qp(3), ah_attr.
type AddressVector struct {
	Port int
	// Global: use the GIDs (always on Ethernet). Then DestGID and SourceIndex
	// count.
	Global       bool
	DestGID      GID
	SourceIndex  int // of the entry in the GID table of Port
	FlowLabel    uint32
	HopLimit     uint8
	TrafficClass uint8
	// DestLID counts on InfiniBand only.
	DestLID      uint16
	ServiceLevel uint8
}
