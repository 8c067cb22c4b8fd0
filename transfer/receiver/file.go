package receiver

import (
	"sync"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// phase is where an entry without a result stands.
type phase uint8

const (
	phaseWork    phase = iota // a worker compares it, or re-hashes a partial
	phaseDigests              // the owner was asked for digests
	phaseWanted               // the owner was asked for bytes
	phaseHeld                 // a hard link that waits for what it points to
	phasePublish              // it is the publisher's
)

// file is an entry that has no result yet. The edge's mutex guards it, except
// what the comments say. Once it is in phasePublish it is the publisher's alone.
type file struct {
	e     transfer.Entry
	dir   uint64 // number of the directory it goes into; NoParent for the base
	name  string // at the destination
	task  task
	phase phase

	change transfer.Change
	exists bool        // something stands at the name
	have   fsroot.Info // and it is this, as of the decision
	attrs  attrs
	// removes is how many names at the destination may go for it: see mayReplace.
	removes int64

	done    bool             // the owner found the source unchanged after the last read
	digest  transport.Digest // of the owner, or zero
	giveUp  *transfer.Error  // the owner's, or ours; carried out when no writer is left
	restart *transfer.Entry  // likewise
	left    bool             // giveUp is the owner's
	retried bool             // it was asked for, or made, once more: see anew
	writers int              // the write lease: extents on their way into the temp

	extents  int64 // of the grid
	landed   bitmap
	inflight bitmap
	count    int64              // of bits in landed
	digests  []transport.Digest // of the landed extents
	resumed  int64              // bytes that were here already
	content  string             // digest of what is here and stays, where one was asked for

	one struct { // what begin makes, for a file of one extent
		landed, inflight [1]uint64
		digest           [1]transport.Digest
	}

	tempMu sync.Mutex // guards the making of temp
	temp   *temp
}

// task is what the publisher has to do for an entry.
type task uint8

const (
	taskFile  task = iota // rename the temp
	taskEmpty             // make an empty file
	taskMeta              // only the metadata differs
	taskSymlink
	taskHardlink
	taskSpecial
)

// temp is the temporary file of one entry.
type temp struct {
	f    *fsroot.File // nil when it was closed already
	name string
	num  uint64 // number of the name; 0 where the name is not from this attempt's sequence
	id   fileID
	at   int64 // offset of its frameTemp in the journal; -1 for small files
	lost transfer.Preserve
	meta bool   // the metadata is set
	slot *slots // to be given back when f is closed; nil for small files
	born uint64 // fsErrors.seen before a byte was in it
	lies bool   // a sync of it failed: what it holds may not be what can be read of it now
}

// close closes the file, if it is open. Later calls do nothing.
func (t *temp) close() error {
	if t.f == nil {
		return nil
	}
	err := t.f.Close()
	if t.slot != nil {
		t.slot.give()
		t.slot = nil
	}
	return err
}

// bitmap has one bit per extent.
type bitmap []uint64

func newBitmap(n int64) bitmap    { return make(bitmap, (n+63)/64) }
func (b bitmap) has(i int64) bool { return b[i>>6]&(1<<(i&63)) != 0 }
func (b bitmap) set(i int64)      { b[i>>6] |= 1 << (i & 63) }
func (b bitmap) clear(i int64)    { b[i>>6] &^= 1 << (i & 63) }

// maxExtents bounds the memory of one file's extents: 384 MiB with digests. At
// the default chunk size it is 64 TiB.
const maxExtents = 1 << 24

// begin makes the bookkeeping of the extents, once it is known that the file
// can be that large.
func (f *file) begin() {
	switch {
	case f.landed != nil:
	case f.extents == 1:
		f.one.landed[0], f.one.inflight[0], f.one.digest[0] = 0, 0, transport.Digest{}
		f.landed, f.inflight, f.digests = f.one.landed[:], f.one.inflight[:], f.one.digest[:]
	default:
		f.landed, f.inflight = newBitmap(f.extents), newBitmap(f.extents)
		f.digests = make([]transport.Digest, f.extents)
	}
}

// reset forgets what landed.
func (f *file) reset() {
	f.landed, f.inflight, f.digests = nil, nil, nil
	f.count, f.resumed, f.done, f.digest, f.content = 0, 0, false, transport.Digest{}, ""
}

// whole says that every extent landed.
func (f *file) whole() bool { return f.count == f.extents }

// missing returns the ranges that have not landed; neighbours are joined.
func (f *file) missing(chunkSize int64) []transport.Range {
	var list []transport.Range
	for i := range f.extents {
		if f.landed != nil && f.landed.has(i) {
			continue
		}
		x := transfer.ExtentRange(i, f.e.Size, chunkSize)
		if n := len(list); n > 0 && list[n-1].End() == x.Offset {
			list[n-1].Length += x.Length
		} else {
			list = append(list, x)
		}
	}
	return list
}
