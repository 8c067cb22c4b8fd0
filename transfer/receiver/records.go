package receiver

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/transfer"
)

// Paths are []byte in records: JSON strings hold only UTF-8.

// lockRecord is a durable destination lock. Its key is the transfer's uid. There
// is one for each transfer that was opened and has not ended.
type lockRecord struct {
	Owner     transfer.NodeID
	ID        string
	UID       transfer.UID
	StateUUID string
	Epoch     uint64
	Principal string
	Dest      []byte // as asked for
	DestMode  transfer.DestMode
	Root      identity // as resolved when it was taken
	// Names are what it covers in the destination. Empty: all of it, as in records of
	// versions that knew no names.
	Names   []string `json:",omitempty"`
	Deletes bool
	Paused  bool // the owner said so: it lapses with the partials only
	Since   time.Time
}

// epochRecord is the highest epoch seen of a transfer. Its key is the owner's
// state uuid and the transfer's uid.
type epochRecord struct {
	Epoch uint64
	Seen  time.Time
}

func epochKey(stateUUID string, uid transfer.UID) string { return stateUUID + "/" + uid.String() }

// epochMemory is how long epochs of transfers that ended are remembered.
const epochMemory = 30 * 24 * time.Hour

// partialRecord is a temporary file that a later edge may go on with. Its key is
// partialKey of destination, source node and fingerprint. Which extents are in
// it stands in the journal of the transfer that landed them.
type partialRecord struct {
	Dir       []byte // absolute
	Final     []byte // name in Dir
	Temp      string
	Dev, Ino  uint64
	Source    transfer.NodeID
	Print     transfer.Fingerprint
	ChunkSize int64
	UID       transfer.UID // whose journal
	At        int64        // offset of its frameTemp there
	// Synced says that the bytes were made durable when the edge ended, so that
	// extents without a digest may be trusted.
	Synced bool
	// MadeDirs are the directories above that its transfer made, the deepest
	// first: they go with it when they are empty then.
	MadeDirs [][]byte
	Kept     time.Time
}

func partialKey(dir, final string, source transfer.NodeID, p transfer.Fingerprint) string {
	b := appendString(nil, dir)
	b = appendString(b, final)
	b = appendString(b, string(source))
	b = appendPrint(b, p)
	sum := xxh3.Hash128(b).Bytes()
	return hex.EncodeToString(sum[:])
}

// is says whether the record is of that file: keys are hashes.
func (p *partialRecord) is(dir, final string, source transfer.NodeID, print transfer.Fingerprint) bool {
	return string(p.Dir) == dir && string(p.Final) == final && p.Source == source && p.Print == print
}

// tables are the receiver's part of the store.
type tables struct {
	locks    *store.Table[lockRecord]
	epochs   *store.Table[epochRecord]
	partials *store.Table[partialRecord]
	letGo    *store.Table[letGoRecord]
}

func newTables(s *store.Store) tables {
	return tables{
		locks:    store.NewTable[lockRecord](s, "target-locks"),
		epochs:   store.NewTable[epochRecord](s, "target-epochs"),
		partials: store.NewTable[partialRecord](s, "target-partials"),
		letGo:    store.NewTable[letGoRecord](s, "target-let-go"),
	}
}

func (l *lockRecord) name() string { return transfer.Name(l.Owner, l.ID) }

// busy is the refusal that names the holder. name is where the two meet, if one of
// them covers only names.
func (l *lockRecord) busy(node transfer.NodeID, path, name string) *transfer.Error {
	held := string(l.Dest)
	if name != "" && len(l.Names) > 0 {
		held = joinPath(held, name)
	}
	what := "the same destination"
	if path != held {
		what = fmt.Sprintf("%s, which overlaps", transfer.EscapePath(held))
	}
	return &transfer.Error{
		Reason: transfer.DestBusy, Side: transfer.SideTarget, Phase: transfer.PhaseConnect, Node: node, Path: path,
		Err:  fmt.Errorf("%s holds %s", l.name(), what),
		Hint: fmt.Sprintf("wait for it, or cancel it: xferctl transfers cancel %s/%s; where its owner is lost: xferctl transfers abandon --node %s %s/%s", l.Owner, l.ID, node, l.Owner, l.ID),
	}
}
