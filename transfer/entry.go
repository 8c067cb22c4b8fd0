package transfer

import "github.com/xferd/xferd/transport"

// NoParent is the parent number of a root entry: its name is relative to the
// destination, and the empty name is the destination itself.
const NoParent = ^uint64(0)

// NoEntry is the number in the Result of a name that has no entry in the
// manifest: it failed or was skipped while its source was scanned.
const NoEntry = ^uint64(0)

// Kind is what an entry is.
type Kind uint8

const (
	KindFile Kind = iota + 1
	KindDir
	KindSymlink
	KindHardlink // of an earlier entry; made after that one is published
	KindFIFO
	KindSocket
	KindCharDevice
	KindBlockDevice
	// KindEndDir ends the listing of directory Parent. EntryFailed in its Flags
	// says that the listing is not complete: nothing may be deleted there.
	KindEndDir
	// KindRegion is ranges of a memory region, as packed bytes; see Open.Ranges. It
	// has no name.
	KindRegion
)

// HasBytes reports whether entries of a kind have bytes that move: extents.
func (k Kind) HasBytes() bool { return k == KindFile || k == KindRegion }

// Asks reports whether entries of a kind are to be copied. The others are in the
// manifest too, and skipped.
func (p Preserve) Asks(k Kind) bool {
	switch k {
	case KindSymlink:
		return p.Has(PreserveSymlinks)
	case KindFIFO, KindSocket:
		return p.Has(PreserveSpecials)
	case KindCharDevice, KindBlockDevice:
		return p.Has(PreserveDevices)
	}
	return true
}

// Fingerprint identifies one version of a source file. Source: the times and
// ids of statx(2). An assembled file has the digest of its sources'
// fingerprints and of its pieces in Ino and Ctime, and the assembled size in Size.
type Fingerprint struct {
	Dev   uint64
	Ino   uint64
	Size  int64
	Mtime int64 // nanoseconds since 1970
	Ctime int64
}

// Xattr is one extended attribute; POSIX ACLs are the attributes
// system.posix_acl_access and system.posix_acl_default.
type Xattr struct {
	Name  string
	Value []byte
}

// Meta is what may be kept of an entry besides its bytes.
type Meta struct {
	Perm     uint32 // permission, setuid, setgid and sticky bits: 07777
	UID, GID uint32
	Mtime    int64  // nanoseconds since 1970
	Rdev     uint64 // devices only
	Xattrs   []Xattr
}

// EntryFlags are facts about an entry.
type EntryFlags uint8

const (
	EntrySparse EntryFlags = 1 << iota // the source has holes
	EntryFailed                        // see KindEndDir
)

// Entry is one line of the manifest. Numbers rise by one from 0; a parent comes
// before its children, and the children of a directory are contiguous.
type Entry struct {
	Number uint64
	Parent uint64
	Name   string // bytes; one path component, see NoParent
	Kind   Kind
	Flags  EntryFlags
	Meta   Meta
	Size   int64
	Print  Fingerprint
	Link   string // symlink: its target
	LinkTo uint64 // hardlink: the earlier entry
}

// Extents returns how many extents of the grid a file of that size has. An
// empty file has none.
func Extents(size, chunkSize int64) int64 { return (size + chunkSize - 1) / chunkSize }

// ExtentRange returns the range of extent i.
func ExtentRange(i, size, chunkSize int64) transport.Range {
	off := i * chunkSize
	return transport.Range{Offset: off, Length: min(chunkSize, size-off)}
}

// Change says in what a destination differs from the source, before or after
// the fact; it is what --itemize shows.
type Change uint16

const (
	ChangeNew     Change = 1 << iota // did not exist
	ChangeContent                    // found by checksum
	ChangeSize
	ChangeMtime
	ChangePerm
	ChangeOwner
	ChangeGroup
	ChangeXattrs
	ChangeACL
	ChangeType   // was of another type
	ChangeTarget // a link pointed elsewhere
	ChangeDelete
)

// Outcome is what became of an entry.
type Outcome uint8

const (
	OutcomePublished Outcome = iota + 1 // made or replaced, or its metadata changed
	OutcomeSame                         // was the same already
	OutcomeSkipped                      // by --update, --no-clobber, or a special file that was not asked for
	OutcomeFailed
	OutcomeDeleted
)

// Result is the end of one entry. Path and numbers are those of the manifest;
// a later result of the same entry replaces an earlier one.
type Result struct {
	Entry   uint64
	Path    string // as shown: relative to the destination; set by the owner
	Kind    Kind
	Outcome Outcome
	Change  Change
	Bytes   int64            // of file content that was moved for it
	Digest  transport.Digest // of the file, zero where none was computed
	Lost    Preserve         // what could not be kept
	Err     *Error           // for OutcomeFailed; otherwise nil
	// LinkTarget is what a symbolic link points to, or for a hard link the path of
	// the entry that it is another name of, as Path; set by the owner.
	LinkTarget string
	// Content is the digest that Spec.Digest asked for, of a regular file that is at
	// the destination; empty otherwise.
	Content string
	// Generation is that of the region which the entry was written into, for
	// KindRegion: whoever sees it, or a higher one, sees these bytes. 0 otherwise.
	Generation uint64
}
