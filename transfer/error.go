package transfer

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Reason is the stable, machine-readable name of a failure. What each one means
// for a caller (gRPC code, exit code, retry) stands in the table of the API's
// proto; a test holds the two together.
type Reason string

// The reasons. Their meaning is documented where the API declares them.
const (
	ReasonNone Reason = ""

	InvalidSpec        Reason = "INVALID_SPEC"
	BadPath            Reason = "BAD_PATH"
	ReservedName       Reason = "RESERVED_NAME"
	SameFile           Reason = "SAME_FILE"
	DestInsideSource   Reason = "DEST_INSIDE_SOURCE"
	InvalidPageToken   Reason = "INVALID_PAGE_TOKEN"
	Unsupported        Reason = "UNSUPPORTED"
	PathNotAllowed     Reason = "PATH_NOT_ALLOWED"
	PathEscapesRoot    Reason = "PATH_ESCAPES_ROOT"
	ExportReadOnly     Reason = "EXPORT_READ_ONLY"
	PermissionDenied   Reason = "PERMISSION_DENIED"
	Unauthenticated    Reason = "UNAUTHENTICATED"
	SourcePermission   Reason = "SOURCE_PERMISSION"
	DestPermission     Reason = "DEST_PERMISSION"
	SourceNotFound     Reason = "SOURCE_NOT_FOUND"
	TransferNotFound   Reason = "TRANSFER_NOT_FOUND"
	NodeUnknown        Reason = "NODE_UNKNOWN"
	RequestIDReused    Reason = "REQUEST_ID_REUSED"
	AlreadyFinished    Reason = "ALREADY_FINISHED"
	AlreadyCommitted   Reason = "ALREADY_COMMITTED"
	BadState           Reason = "BAD_STATE"
	DestBusy           Reason = "DEST_BUSY"
	DestNoSpace        Reason = "DEST_NO_SPACE"
	DestNoInodes       Reason = "DEST_NO_INODES"
	DestQuota          Reason = "DEST_QUOTA"
	DestReadOnly       Reason = "DEST_READ_ONLY"
	DestTypeConflict   Reason = "DEST_TYPE_CONFLICT"
	DestDirGone        Reason = "DEST_DIR_GONE"
	DestChanged        Reason = "DEST_CHANGED"
	DestIOError        Reason = "DEST_IO_ERROR"
	SourceChanged      Reason = "SOURCE_CHANGED"
	SourceVanished     Reason = "SOURCE_VANISHED"
	SourceIOError      Reason = "SOURCE_IO_ERROR"
	SourceNotRegular   Reason = "SOURCE_NOT_REGULAR"
	ChecksumMismatch   Reason = "CHECKSUM_MISMATCH"
	Different          Reason = "DIFFERENT"
	NotPreserved       Reason = "NOT_PRESERVED"
	PartialFailure     Reason = "PARTIAL_FAILURE"
	DeleteSuppressed   Reason = "DELETE_SUPPRESSED"
	MaxDelete          Reason = "MAX_DELETE"
	DeadlineExceeded   Reason = "DEADLINE_EXCEEDED"
	Stalled            Reason = "STALLED"
	PeerUnreachable    Reason = "PEER_UNREACHABLE"
	PeerLost           Reason = "PEER_LOST"
	OwnerUnreachable   Reason = "OWNER_UNREACHABLE"
	NodeDraining       Reason = "NODE_DRAINING"
	NodeStopping       Reason = "NODE_STOPPING"
	NodeBusy           Reason = "NODE_BUSY"
	QueueFull          Reason = "QUEUE_FULL"
	StaleEpoch         Reason = "STALE_EPOCH"
	Compacted          Reason = "COMPACTED"
	TooManyWatches     Reason = "TOO_MANY_WATCHES"
	SlowConsumer       Reason = "SLOW_CONSUMER"
	StateNoSpace       Reason = "STATE_NO_SPACE"
	LocalFDLimit       Reason = "LOCAL_FD_LIMIT"
	RDMAUnavailable    Reason = "RDMA_UNAVAILABLE"
	EncryptUnavailable Reason = "ENCRYPTION_UNAVAILABLE"
	RegionNotFound     Reason = "REGION_NOT_FOUND"
	RegionExists       Reason = "REGION_EXISTS"
	RegionBusy         Reason = "REGION_BUSY"
	RegionDetached     Reason = "REGION_DETACHED"
	RegionRange        Reason = "REGION_RANGE"
	RegionLimit        Reason = "REGION_LIMIT"
	RegionNoMemory     Reason = "REGION_NO_MEMORY"
	RegionQuarantined  Reason = "REGION_QUARANTINED"
	RegionFD           Reason = "REGION_FD"
	RegionGone         Reason = "REGION_GONE"
	PostsIdle          Reason = "POSTS_IDLE"
	PostsBusy          Reason = "POSTS_BUSY"
	PostsLimit         Reason = "POSTS_LIMIT"
	Cancelled          Reason = "CANCELLED"
	ProtocolError      Reason = "PROTOCOL_ERROR"
	Internal           Reason = "INTERNAL"
)

// Side says which end of a transfer failed.
type Side string

const (
	SideSource Side = "source"
	SideTarget Side = "destination"
	SideOwner  Side = "owner" // the queue and state of the owning node
	SideClient Side = "client"
)

// Phase says at what the failing side was.
type Phase string

const (
	PhaseSubmit  Phase = "submit"
	PhaseConnect Phase = "connect"
	PhaseScan    Phase = "scan"
	PhaseCompare Phase = "compare"
	PhaseRead    Phase = "read"
	PhaseMove    Phase = "move"
	PhaseWrite   Phase = "write"
	PhaseVerify  Phase = "verify"
	PhasePublish Phase = "publish"
	PhaseDelete  Phase = "delete"
	PhaseFinish  Phase = "finish"

	// Looking at files of a node, which is no part of a transfer.
	PhaseList Phase = "list"
	PhaseStat Phase = "stat"
)

// Error is a failure that a person or a scheduler has to act on. Its text form
// is «side phase node:path: cause (REASON); hint».
type Error struct {
	Reason Reason
	Side   Side
	Phase  Phase
	Node   NodeID
	Path   string // bytes; escaped when printed
	Err    error  // the cause, for people and for errors.Is
	Hint   string // what to do next
}

func (e *Error) Error() string {
	var b strings.Builder
	for _, w := range []string{string(e.Side), string(e.Phase)} {
		if w != "" {
			b.WriteString(w)
			b.WriteByte(' ')
		}
	}
	if e.Node != "" {
		b.WriteString(string(e.Node))
		if e.Path != "" {
			b.WriteByte(':')
		}
	}
	b.WriteString(EscapePath(e.Path))
	if b.Len() > 0 {
		s := strings.TrimRight(b.String(), " ")
		b.Reset()
		b.WriteString(s + ": ")
	}
	if e.Err != nil {
		b.WriteString(e.Err.Error())
		b.WriteByte(' ')
	}
	fmt.Fprintf(&b, "(%s)", e.Reason)
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// ReasonOf returns the reason of the first Error in err's chain, Internal where
// err is not one, and ReasonNone for nil.
func ReasonOf(err error) Reason {
	if err == nil {
		return ReasonNone
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return Internal
}

// MaxReason is the length of a reason, in bytes.
const MaxReason = 64

// Formed reports whether r has the form of a reason: capital letters, digits and
// underscores. A newer node may have reasons that are unknown here.
func (r Reason) Formed() bool {
	for i := range len(r) {
		if c := r[i]; (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return r != "" && len(r) <= MaxReason
}

// Transient reports whether the owner may try the transfer again by itself
// after a while, since nothing has to be mended by a person first.
func (r Reason) Transient() bool {
	switch r {
	case PeerUnreachable, PeerLost, NodeStopping, NodeBusy, StaleEpoch, LocalFDLimit, Stalled:
		return true
	case RegionDetached:
		return true // the program that has its memory may offer it again
	case NodeUnknown:
		// Submit refuses nodes that were never heard of. A node that runs a
		// transfer and does not know its target has just started itself.
		return true
	}
	return false
}

// EscapePath returns a path as it may be shown on a terminal or in a log: bytes
// that are not printable UTF-8 are escaped as in Go string literals.
func EscapePath(p string) string {
	plain := true
	for _, r := range p {
		if r == '\\' || !strconv.IsPrint(r) || r == '�' {
			plain = false
			break
		}
	}
	if plain {
		return p
	}
	q := strconv.Quote(p)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}
