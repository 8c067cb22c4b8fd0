package transfer

import (
	"context"

	"github.com/xferd/xferd/transport"
)

// Control messages between the owner and the target of an edge. They are plain
// values: package api/peer carries them between nodes, [Pipe] inside one.
// Whoever receives a message owns it.

// ToTarget is a message of the owner.
type ToTarget interface{ toTarget() }

// ToOwner is a message of the target.
type ToOwner interface{ toOwner() }

// Open is the owner's first message. The target authorises, resolves and locks
// the destination and answers Opened or Refused.
type Open struct {
	Owner     NodeID
	ID        string // the transfer's id, with Owner its name
	UID       UID
	StateUUID string // of the owner's state directory
	Epoch     uint64 // rises with every attempt
	Principal string
	Mode      Mode
	Dest      string
	DestMode  DestMode
	// Names are all names that the root entries have, where they are known before
	// (see Spec.Names): then others may copy into the same directory meanwhile. Nil
	// locks the destination as a whole.
	Names []string
	// Ranges are where the bytes belong, where Dest is a region (see RegionOf): in
	// order and disjoint, as [Layout] takes them. The one entry is of KindRegion then,
	// and its bytes are packed.
	Ranges []transport.Range
	// Sources are shown in messages, and hold off a copy into itself: where
	// owner and target are one node the target compares (dev, ino) as well.
	Sources []string
	Options Options
	// ValidateOnly: authorise, resolve, and answer; take no lock, change nothing.
	ValidateOnly bool
	// Again: the owner knows WantAgain.
	Again bool
	// Mark: the owner looks for the mark of this attempt (see [MarkOf]), so the target
	// leaves it before it answers Opened, and removes it at the end of the edge.
	Mark bool
	// BytesHint and EntriesHint are lower bounds known so far, for the space
	// check; 0 is unknown.
	BytesHint, EntriesHint int64
}

// Options are the parts of a Spec that the target needs.
type Options struct {
	Preserve   Preserve
	Compare    Compare
	Update     bool
	NoClobber  bool
	Force      bool
	DryRun     bool
	Delete     bool
	MaxDelete  *int64
	Filters    []FilterRule // names that they exclude are never deleted
	ChownUID   *uint32
	ChownGID   *uint32
	Chmod      string
	Verify     Verify
	Durability Durability
	ChunkSize  int64
	Streams    int
	Digest     DigestKind
	Expected   []byte // see Spec
	Prepared   bool
}

// Entries continues the manifest. The owner never has more entries without a
// result outstanding than it has credits.
type Entries struct{ Entries []Entry }

// EntryDone says, after an entry's last byte was read, that its source still
// had the fingerprint that the manifest announced. Digest is the file's, or
// zero when the owner did not read all of it in this epoch.
type EntryDone struct {
	Entry  uint64
	Digest transport.Digest
}

// EntriesDone carries several EntryDone.
type EntriesDone struct{ Done []EntryDone }

// EntryDigests answers an Answer that asked for digests: one per extent of the
// file, in order.
type EntryDigests struct {
	Entry   uint64
	Digests []transport.Digest
}

// EntryRestart says that the source changed: what was landed for the entry is
// void. The target answers anew, as for a new entry.
type EntryRestart struct{ Entry Entry }

// EntryGiveUp says that the source of an entry cannot be sent. The target drops
// what it has of it and answers with a failed Result that carries Err.
type EntryGiveUp struct {
	Entry uint64
	Err   *Error
}

// ScanDone ends the manifest. Failed is the number of scan errors: with any,
// nothing is deleted.
type ScanDone struct {
	Entries uint64
	Failed  int64
}

// PrepareData asks for a data plane by one of the transports named, best first.
type PrepareData struct {
	Transports []string
	Streams    int
}

// FenceData asks the target to fence the current data plane (see
// transport.Incoming.Close), before another PrepareData, and then which of the
// extents that were on their way it has. They are what one data plane has in
// flight: at most [MaxAsked].
type FenceData struct{ Asked []ExtentID }

// ExtentID names an extent of the grid.
type ExtentID struct {
	Entry  uint64
	Offset int64 // of its first byte
}

// MaxAsked is the largest number of extents in a FenceData.
const MaxAsked = 1 << 18

// DataControl is a message of a data plane that is set up over the control
// stream, in both directions; see [DataLink]. Sessions are numbered by the owner
// from 1 within the edge.
type DataControl struct {
	Session uint32
	Body    []byte // at most transport.MaxControl
	End     bool   // nothing more of this session comes from there
}

// Finish asks the target, after the last result, to delete (sync), to set the
// metadata of directories and to end. It answers Finished.
type Finish struct{}

// End says how an Abort leaves the destination.
type End uint8

const (
	EndPause  End = iota + 1 // keep lock and partials
	EndCancel                // drop the lock, keep partials for a later run
	EndPurge                 // drop the lock and the partials
)

// Abort ends the edge early. The target fences and answers Finished.
type Abort struct{ End End }

// Ping is answered by Pong, both ways of liveness on the control stream.
type Ping struct{ Seq uint64 }

// Opened grants an edge.
type Opened struct {
	Node        NodeID
	Incarnation uint64
	Credits     uint64 // entries that may be without a result at a time
	// Transports of the target that work, best first.
	Transports []string
	ResolvedTo string // the destination as it was resolved, for people
	FreeBytes  int64
	// Checked is what is known before the first file; see Finished.
	Checked Checked
	// Digest is that of the options, where the target computes it.
	Digest DigestKind
}

// Refused ends an edge before or after Opened.
type Refused struct{ Err *Error }

// DataReady answers PrepareData. Where Err is set there is no grant.
// Why says why the grant is not for the first of the transports asked for.
type DataReady struct {
	Grant transport.Grant
	Err   *Error
	Why   transport.Reason
}

// Want is what the target asks of the owner for one file.
type Want uint8

const (
	WantAll     Want = iota + 1 // every extent
	WantRanges                  // the ranges named, each on the grid
	WantDigests                 // a digest per extent first, then it will say
	// WantAgain: the target could not keep what it had of the file, and dropped it.
	// The owner answers with EntryRestart. Only where Open.Again is set, and once for
	// an entry.
	WantAgain
)

// Answer asks for a file's bytes. Entries that need none get a Result at once.
type Answer struct {
	Entry  uint64
	Want   Want
	Change Change
	Ranges []transport.Range
}

// Answers carries several.
type Answers struct{ Answers []Answer }

// Results carries the ends of entries, each of which gives its credit back.
// A second result of one entry (a directory's metadata failed) gives none.
type Results struct{ Results []Result }

// DataFenced answers FenceData: no byte of the old data plane can land, and what
// is listed here, in the order of the question, landed and is not wanted again.
type DataFenced struct{ Landed []LandedExtent }

// LandedExtent is one extent that was asked for and is at the target.
type LandedExtent struct {
	Asked  uint32 // index in FenceData.Asked
	Digest transport.Digest
}

// Finished ends the edge.
type Finished struct {
	Deleted int64
	// Err is a failure of the whole (MAX_DELETE, DELETE_SUPPRESSED, a directory
	// that could not be synced).
	Err *Error
	// Stats of the target's side of all data planes of the edge.
	Stats transport.Stats
	// Checked is the weakest verification of all files that were written, where
	// that is not what was asked.
	Checked Checked
	// Complete: what Finish asks for was done to its last step. An Abort that came
	// after it changes nothing any more.
	Complete bool
}

// Pong answers Ping, and comes unasked (Seq 0) when Waiting changed.
type Pong struct {
	Seq uint64
	// Waiting is what the target waits for before it goes on, nil for nothing: it
	// is there, and nothing is lost.
	Waiting *Error
}

func (*DataControl) toTarget()  {}
func (*DataControl) toOwner()   {}
func (*Open) toTarget()         {}
func (*Entries) toTarget()      {}
func (*EntriesDone) toTarget()  {}
func (*EntryDigests) toTarget() {}
func (*EntryRestart) toTarget() {}
func (*EntryGiveUp) toTarget()  {}
func (*ScanDone) toTarget()     {}
func (*PrepareData) toTarget()  {}
func (*FenceData) toTarget()    {}
func (*Finish) toTarget()       {}
func (*Abort) toTarget()        {}
func (*Ping) toTarget()         {}

func (*Opened) toOwner()     {}
func (*Refused) toOwner()    {}
func (*DataReady) toOwner()  {}
func (*DataFenced) toOwner() {}
func (*Answers) toOwner()    {}
func (*Results) toOwner()    {}
func (*Finished) toOwner()   {}
func (*Pong) toOwner()       {}

// TargetLink is the owner's end of a control stream. Send may be called
// concurrently with itself and with Recv; Recv by one goroutine. Both end with
// an error when the stream or ctx does.
type TargetLink interface {
	Send(ctx context.Context, m ToTarget) error
	Recv(ctx context.Context) (ToOwner, error)
	Close() error
}

// OwnerLink is the target's end of a control stream, with the same rules.
type OwnerLink interface {
	Send(ctx context.Context, m ToOwner) error
	Recv(ctx context.Context) (ToTarget, error)
	Close() error
}
