// Package ibv calls libibverbs, which it loads at run time. It is the only cgo of
// the module: C builds every struct of the library, and Go passes numbers,
// opaque pointers and flat arrays. It has no policy and checks little: package
// rdma, its only user, is the face and keeps callers in order.
//
// It is never linked to the library, so that a program with it runs where there
// is none. It builds without cgo and without the headers too; Load then fails
// with ErrNotBuilt.
//
// ibv_fork_init(3) is not called. It protects pinned memory from copy-on-write
// in a child that goes on without exec, at the price of a mapping for each
// registration. Go starts programs with CLONE_VM|CLONE_VFORK, which copies
// nothing, and since Linux 5.12 a fork copies pinned pages at once. A program
// that forks from C on an older kernel sets RDMAV_FORK_SAFE=1.
package ibv

import "errors"

// DefaultLibrary is the name by which the dynamic linker knows libibverbs.
const DefaultLibrary = "libibverbs.so.1"

// MaxSGE is the room for elements in the records of PostSend and PostReceive.
const MaxSGE = 4

var (
	// ErrNotBuilt: the program was built without cgo, or without headers.
	ErrNotBuilt = errors.New("verbs are not built in")
	// ErrState: the queue pair cannot take requests yet.
	ErrState = errors.New("queue pair is not ready")
	// ErrNoDevice: there is no device of that name.
	ErrNoDevice = errors.New("no such device")
)

// Device is one entry of the list of devices.
type Device struct {
	Name      string
	GUID      uint64
	Transport int // enum ibv_transport_type
}

// DeviceAttr are limits of a device, as in ibv_query_device(3).
type DeviceAttr struct {
	Firmware                                             string
	MaxMRSize                                            uint64
	VendorID, VendorPart                                 uint32
	Ports, MaxQP, MaxQPWR, MaxSGE, MaxCQ, MaxCQE         int
	MaxMR, MaxPD, MaxQPRdAtom, MaxQPInitRdAtom, AckDelay int
}

// PortAttr is a port, with the numbers of ibv_query_port(3).
type PortAttr struct {
	MaxMessage                       uint32
	GIDTableLen                      int
	LID, SMLID, PKeyTableLen         uint16
	State, LinkLayer, ActiveMTU      uint8
	MaxMTU, ActiveWidth, ActiveSpeed uint8
	GRHRequired                      bool
}

// GID is an entry of a GID table.
type GID struct {
	GID                          [16]byte
	Index, Port, Type, Interface uint32
}

// Event is an asynchronous event; Port or QP are 0 where it is of neither.
type Event struct{ Type, Port, QP uint32 }

// Address is the way to a peer.
type Address struct {
	DGID                                        [16]byte
	FlowLabel                                   uint32
	DLID                                        uint16
	Port, SGIDIndex, HopLimit, TrafficClass, SL uint8
	Global                                      bool
}

// QPCap sizes a queue pair.
type QPCap struct{ SendWR, RecvWR, SendSGE, RecvSGE, Inline uint32 }

// RTR and RTS are the attributes of the transitions to ready-to-receive and
// ready-to-send.
type (
	RTR struct {
		Address                               Address
		DestQP, PSN                           uint32
		PathMTU, MaxDestRdAtomic, MinRNRTimer uint8
	}
	RTS struct {
		PSN                                        uint32
		Timeout, RetryCount, RNRRetry, MaxRdAtomic uint8
	}
)
