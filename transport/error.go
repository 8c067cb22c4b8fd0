package transport

import "fmt"

// Reason says why a transport was not used or was left. It stands in the
// status of a transfer, the log and a metric; see DESIGN: no fall-back is
// silent.
type Reason string

const (
	NoReason           Reason = ""
	SameNode           Reason = "SAME_NODE"
	PolicyTCP          Reason = "POLICY_TCP"
	NeedsDigests       Reason = "NEEDS_DIGESTS" // verification was asked that a copy inside the kernel cannot give
	NotBuilt           Reason = "NOT_BUILT"     // this build of xferd has no RDMA data plane
	PeerHasNone        Reason = "PEER_HAS_NONE"
	EncryptionRequired Reason = "ENCRYPTION_REQUIRED"
	SessionFailed      Reason = "SESSION_FAILED" // the better one broke several times without moving anything

	// Of RDMA.
	NoLibrary   Reason = "NO_LIBRARY" // libibverbs cannot be loaded, or the build has no support for it
	NoKernel    Reason = "NO_KERNEL_SUPPORT"
	NoDevice    Reason = "NO_DEVICE"
	PortDown    Reason = "PORT_DOWN"    // no port is active
	NoGID       Reason = "NO_GID"       // no usable address on any port
	NoPath      Reason = "NO_PATH"      // no port leads to the peer's
	Memlock     Reason = "MEMLOCK"      // memory cannot be pinned
	PinnedLimit Reason = "PINNED_LIMIT" // the budget for pinned memory of regions is used up
	NoBuffers   Reason = "NO_BUFFERS"   // the buffer memory is used up
	ProbeFailed Reason = "PROBE_FAILED" // what was written did not arrive as it should
	QPError     Reason = "QP_ERROR"     // a queue pair could not be brought up, or broke
)

// UnavailableError is the failure of an edge's data plane to come up: nothing
// was sent.
type UnavailableError struct {
	Transport string
	Addr      string
	Reason    Reason // NoReason where there is only an error
	Err       error
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("%s data plane at %s: %v", e.Transport, e.Addr, e.Err)
}

func (e *UnavailableError) Unwrap() error { return e.Err }

// PathError is a session of several paths that one of them broke. The transport
// leaves that one alone for a while, so that a new session is worth a try.
type PathError struct {
	Path string
	Err  error
}

func (e *PathError) Error() string { return e.Err.Error() }

func (e *PathError) Unwrap() error { return e.Err }

// ProtocolError is a peer that does not keep to the wire protocol. The
// connection is closed; nothing of the frame was placed.
type ProtocolError struct {
	Addr string
	What string
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("peer %s broke the data protocol: %s", e.Addr, e.What)
}
