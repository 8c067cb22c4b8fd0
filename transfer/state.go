package transfer

import (
	"fmt"
	"maps"
	"time"

	"github.com/xferd/xferd/transport"
)

// State is where a transfer is in its life. The terminal ones never change.
type State string

const (
	StateQueued     State = "QUEUED"
	StateRunning    State = "RUNNING" // also while it waits for an unreachable target
	StatePausing    State = "PAUSING"
	StatePaused     State = "PAUSED"
	StateCancelling State = "CANCELLING"
	StateSucceeded  State = "SUCCEEDED"
	StatePartial    State = "PARTIALLY_SUCCEEDED"
	StateFailed     State = "FAILED"
	StateCancelled  State = "CANCELLED"
)

// Terminal reports whether a transfer in that state is over, forever.
func (s State) Terminal() bool {
	switch s {
	case StateSucceeded, StatePartial, StateFailed, StateCancelled:
		return true
	}
	return false
}

// Counters are what a transfer did so far, over all its attempts.
type Counters struct {
	EntriesFound   int64 // by the scan of the current attempt
	ScanDone       bool  // the totals are final
	FilesTotal     int64 // regular files found
	BytesTotal     int64 // in them
	FilesCopied    int64
	FilesSame      int64
	FilesSkipped   int64
	FilesFailed    int64
	DirsMade       int64
	LinksMade      int64
	SpecialSkipped int64 // FIFOs, sockets, devices that were not asked for
	EntriesFailed  int64 // all kinds
	EntriesLost    int64 // something of theirs could not be preserved
	Deleted        int64
	BytesDone      int64            // of file content that is at the target and verified
	BytesMoved     map[string]int64 // by transport, resent ones included
	Mismatches     int64            // extents refused for their digest
	Restarts       int64            // files whose source changed
	Attempts       int64
	BytesToMove    int64 // of a dry run: what would be moved, at most
}

// Clone returns a copy that shares nothing.
func (c Counters) Clone() Counters {
	c.BytesMoved = maps.Clone(c.BytesMoved)
	return c
}

// Path is the transport of a transfer's current or last edge, and why.
type Path struct {
	Transport string // transport.TCP, ...
	Reason    transport.Reason
	Fallbacks []Fallback
	// Verify is what was done: "wire", "store", "media", "none", or
	// "kernel_copy" where the bytes never left the kernel of one node.
	Verify string
	// VerifyReason is why that is weaker than what was asked; empty where it is
	// not.
	VerifyReason VerifyReason
	// Bottleneck is "source read", "network", "target write", "verify" or "rate
	// limit", empty while unknown.
	Bottleneck string
	Source     transport.Stats
	Target     transport.Stats
}

// Checked says how a target verifies contents where it cannot as it was asked
// to. The zero value is as asked.
type Checked struct {
	Verify Verify
	Reason VerifyReason
}

// VerifyReason is why contents are verified less strongly than asked, a stable
// word.
type VerifyReason string

// Why files cannot be read back from their device.
const (
	// MemoryFileSystem: there is no device.
	MemoryFileSystem VerifyReason = "MEMORY_FILE_SYSTEM"
	// UnprovedFileSystem: of that kind it is not known that a read reaches the
	// device (network, layered and other file systems).
	UnprovedFileSystem VerifyReason = "UNPROVED_FILE_SYSTEM"
	// CacheNotDropped: what was read would have come from memory.
	CacheNotDropped VerifyReason = "CACHE_NOT_DROPPED"
)

// Weaken notes what a target says of its verification. What was weaker once
// stays so for the transfer.
func (p *Path) Weaken(c Checked) {
	if c != (Checked{}) {
		p.Verify, p.VerifyReason = string(c.Verify), c.Reason
	}
}

// Fallback is one change of transport.
type Fallback struct {
	Time     time.Time
	From, To string
	Reason   transport.Reason
	Detail   string
}

// Transfer is what is known of one transfer: a value, a snapshot.
type Transfer struct {
	Owner    NodeID
	ID       string
	UID      UID
	Spec     Spec
	State    State
	Revision uint64 // of the owner's; rises with every change

	Created, Started, Updated, Ended time.Time

	Counters Counters
	Path     Path

	// WaitingReason and WaitingDetail say why a RUNNING transfer does not move,
	// or why a QUEUED one is not admitted.
	WaitingReason Reason
	WaitingDetail string
	NextAttempt   time.Time

	// Err is the reason of FAILED, PARTIALLY_SUCCEEDED and CANCELLED.
	Err *Error
	// Failures are the first failed entries, at most MaxFailuresShown; all of
	// them are in the entries' results.
	Failures []Result

	CancelledBy string // principal that asked for the cancel, if any
	RetryOf     string // name of the transfer that this one retries
	Resolved    string // the destination as the target resolved it
	// Digest and Content are those of the one file that the transfer is about, as in
	// its Result; empty where it is not about one.
	Digest  transport.Digest
	Content string
	// Generation is that of the region which the transfer wrote, as in its Result.
	Generation uint64
	Posts      Posts // of a prepared transfer
	Epoch      uint64
}

// MaxFailuresShown bounds Transfer.Failures.
const MaxFailuresShown = 10

// Name returns nodes/{owner}/transfers/{id}.
func (t *Transfer) Name() string { return Name(t.Owner, t.ID) }

// Name returns the resource name of a transfer.
func Name(owner NodeID, id string) string {
	return fmt.Sprintf("nodes/%s/transfers/%s", owner, id)
}
