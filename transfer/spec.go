package transfer

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"
)

// NodeID is the stable name of a node.
type NodeID string

// UID is made by the owner for each transfer. It keys locks, logs and temps,
// and unlike (owner, id) it is never used again.
type UID [16]byte

// NewUID returns a random uid.
func NewUID() UID {
	var u UID
	_, _ = rand.Read(u[:]) // never fails: crypto/rand aborts the program instead
	return u
}

func (u UID) String() string { return hex.EncodeToString(u[:]) }

// MarshalText and UnmarshalText give the hex form, for logs and stored records.
func (u UID) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText is the reverse of MarshalText.
func (u *UID) UnmarshalText(b []byte) error {
	n, err := hex.Decode(u[:], b)
	if err == nil && (n != len(u) || len(b) != 2*len(u)) {
		err = fmt.Errorf("uid %q has not %d hex digits", b, 2*len(u))
	}
	return err
}

// Mode is what is done with the sources.
type Mode string

const (
	ModeCopy     Mode = "copy"
	ModeSync     Mode = "sync"     // a directory becomes the other's mirror; may delete
	ModeAssemble Mode = "assemble" // one file out of ranges of many
	ModeVerify   Mode = "verify"   // find out whether the destination is the same; a dry run
)

// DestMode says what the destination path stands for.
type DestMode string

const (
	DestExact DestMode = "exact"    // the destination becomes the copy of the one source
	DestInto  DestMode = "into_dir" // each source lands in the destination under its own name
)

// Source is one thing to copy. Paths are bytes, absolute, clean (no empty, "."
// or ".." component) and without a trailing slash.
type Source struct {
	Path string
	// Contents, for a directory: its entries go into the destination, not the
	// directory under its own name (a trailing slash in the CLI).
	Contents bool
}

// Piece is one range of an assembled file: Length bytes of a source from Offset
// land at DestOffset. Length -1 means up to the end of the file.
type Piece struct {
	Path       string
	Offset     int64
	Length     int64
	DestOffset int64
}

// Preserve is a set of the properties that a copy keeps.
type Preserve uint32

const (
	PreserveMode Preserve = 1 << iota
	PreserveTimes
	PreserveSymlinks // copied as links; without it symlinks are skipped and counted
	PreserveHardlinks
	PreserveSparse
	PreserveOwner // owner and group, by number
	PreserveXattrs
	PreserveACLs
	PreserveDevices
	PreserveSpecials // FIFOs and sockets

	PreserveDefault = PreserveMode | PreserveTimes | PreserveSymlinks | PreserveHardlinks | PreserveSparse
	PreserveArchive = PreserveDefault | PreserveOwner | PreserveXattrs | PreserveACLs
)

// Has reports whether all of q are in p.
func (p Preserve) Has(q Preserve) bool { return p&q == q }

// Compare is how a file at the destination is found to be the same.
type Compare string

const (
	CompareSizeMtime Compare = "size_mtime"
	CompareSize      Compare = "size"
	CompareChecksum  Compare = "checksum"
)

// Verify is how strongly the bytes are checked.
type Verify string

const (
	VerifyNone  Verify = "none"
	VerifyWire  Verify = "wire"  // digest of what was read = digest of what was written
	VerifyStore Verify = "store" // and read back from the file before it is published
	VerifyMedia Verify = "media" // and read back from the device
)

// Durability says when a file counts as published.
type Durability string

const (
	DurabilityFull Durability = "full" // file and directory are synced
	DurabilityNone Durability = "none"
)

// Policy chooses the transport.
type Policy string

const (
	PolicyAuto Policy = "auto"
	PolicyRDMA Policy = "rdma"
	PolicyTCP  Policy = "tcp"
)

// Priority is the admission class; a higher one is always admitted first.
type Priority int32

const (
	PriorityBackground Priority = -20
	PriorityLow        Priority = -10
	PriorityNormal     Priority = 0
	PriorityHigh       Priority = 10
	PrioritySystem     Priority = 20
)

// FilterRule is one line of the ordered include and exclude list, in rsync's
// pattern grammar (see package filter).
type FilterRule struct {
	Include bool
	Pattern string
}

// Spec is what was asked for. It is a value: nothing changes it after submit.
type Spec struct {
	Mode     Mode
	Source   NodeID
	Sources  []Source // for copy and sync
	Pieces   Pieces   // for assemble
	Target   NodeID
	Dest     string // absolute, clean
	DestMode DestMode

	Preserve   Preserve
	Follow     bool // symlinks are followed at the source (-L)
	OneFS      bool // stay on the file system of each source (-x)
	Compare    Compare
	Update     bool // skip files that are newer at the destination
	NoClobber  bool // skip files that exist at the destination
	Force      bool // replace a file by a directory and the other way round
	Filters    []FilterRule
	FilesFrom  []string // when not empty: only these, relative to the one source
	ChownUID   *uint32
	ChownGID   *uint32
	Chmod      string // rsync's --chmod grammar
	DryRun     bool
	Delete     bool
	MaxDelete  *int64 // nil: the larger of 100 and a tenth of the destination's entries
	Verify     Verify
	Prepared   bool // posted many times; see Posts
	Digest     DigestKind
	Expected   []byte // with Digest: what that of the one file has to be; nil: anything
	Durability Durability
	Policy     Policy
	Encrypt    string // "auto", "off", "required"
	Streams    int
	ChunkSize  int64 // bytes, a power of two, 1 MiB to 64 MiB
	Priority   Priority
	MaxRate    int64     // bytes per second; 0: no limit
	Deadline   time.Time // zero: none
	Labels     map[string]string
	Principal  string // who submitted
}

// Defaults of a Spec's zero fields.
const (
	DefaultStreams         = 4
	MaxStreams             = 32
	DefaultChunkSize int64 = 4 << 20
	MinChunkSize     int64 = 1 << 20
	MaxChunkSize     int64 = 64 << 20
)
