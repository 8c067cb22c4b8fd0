// Package plan decides what moves next over one edge: which extents of which
// entries make the next chunk, what has to go again, and when all of an entry
// is at the target.
//
// It is pure: no I/O, no clock, no goroutines. It knows entries only by number,
// size and the extents that the target wants. Package sender puts the bytes to
// the descriptions and tells back what became of them.
//
// Order: small files are packed as they come, many to a chunk. A large file's
// extent is a chunk of its own: those with the fewest failures first, then of
// the largest file, then the lowest offset. Packs and large extents take turns,
// so that neither waits for the end of the other.
package plan

import (
	"container/heap"
	"errors"
	"fmt"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// MaxMismatches is how many extents of one transfer may arrive with other bytes
// than those that were sent: the last of them ends the transfer.
const MaxMismatches = 5

// ErrCorruption is returned when MaxMismatches extents were corrupted on their
// way, although their source did not change.
var ErrCorruption = errors.New("too many extents arrived corrupted")

// Options bound a planner.
type Options struct {
	ChunkSize int64 // bytes; the grid, and the most that one chunk carries
	// PackLimit is the size in bytes up to which Add may be asked to pack.
	PackLimit int64
	// MaxExtents is the largest number of extents in a pack; 0 is
	// transport.MaxExtents.
	MaxExtents int
	// MaxOutstanding is the largest number of chunks that are handed out and
	// not settled; MaxPacks that of packs among them, 0 is no bound of its own.
	MaxOutstanding, MaxPacks int
	// Mismatches is how many extents earlier attempts of the transfer found
	// corrupted.
	Mismatches int
}

// Extent is a part of an entry to be sent.
type Extent struct {
	Entry          uint64
	Offset, Length int64
	Failures       int
	// Plain asks for the plain read path, since the extent arrived corrupted
	// before.
	Plain bool

	file *file
}

// Chunk describes what goes together. The caller of Next owns it and may use it
// again when all its extents are settled.
type Chunk struct {
	Pack    bool
	Extents []Extent

	unsettled int
}

// Outcome is what became of an extent.
type Outcome uint8

const (
	Acked    Outcome = iota + 1 // placed and recorded at the target
	Failed                      // refused, or nobody knows: it goes again
	Corrupt                     // arrived with other bytes: it goes again by the plain path
	Dropped                     // not sent; the caller drops or restarts its entry
	Returned                    // not sent; it goes later, and that is no failure
)

// Event tells what a settled extent means for its entry.
type Event uint8

const (
	NoEvent  Event = iota
	Complete       // every wanted extent of the entry is acknowledged
	// Quiet: the entry was dropped and nothing of it is on its way any more.
	Quiet
)

// Planner is the plan of one edge. It is not safe for concurrent use.
type Planner struct {
	o     Options
	files map[uint64]*file // wanted and not complete
	fresh fileHeap         // large files with extents that never failed
	again extentHeap       // extents of large files that failed
	packs packQueue

	ended       bool
	packChunks  int // outstanding
	largeChunks int
	mismatches  int
}

// file is an entry of which something is wanted.
type file struct {
	entry    uint64
	size     int64
	pack     bool
	dropped  bool
	queued   bool              // packed ones: waits in the queue
	want     []transport.Range // large ones: never handed out, ascending
	left     int64             // extents not acknowledged
	inFlight int
}

// New returns an empty planner.
func New(o Options) *Planner {
	if o.MaxExtents <= 0 {
		o.MaxExtents = transport.MaxExtents
	}
	if o.MaxPacks <= 0 {
		o.MaxPacks = o.MaxOutstanding
	}
	return &Planner{o: o, files: make(map[uint64]*file), mismatches: o.Mismatches}
}

// Add makes an entry's extents wanted: those that ranges name, or with all set
// every one. Ranges have to be ascending, disjoint, inside the entry and on the
// grid. With pack the entry is packed with others; its size has to be within
// PackLimit. It reports whether the entry is complete as it is, since nothing
// is wanted of it. An entry that is in the plan already is an error.
func (p *Planner) Add(entry uint64, size int64, pack, all bool, ranges []transport.Range) (complete bool, err error) {
	if p.files[entry] != nil {
		return false, fmt.Errorf("entry %d is wanted twice", entry)
	}
	if size == 0 && len(ranges) == 0 || !all && len(ranges) == 0 {
		return true, nil
	}
	f := &file{entry: entry, size: size, pack: pack && size <= min(p.o.PackLimit, p.o.ChunkSize)}
	if all {
		f.want = []transport.Range{{Offset: 0, Length: size}}
		f.left = transfer.Extents(size, p.o.ChunkSize)
	} else {
		if f.left, err = p.check(entry, size, ranges); err != nil {
			return false, err
		}
		f.want = append(f.want, ranges...)
	}
	p.files[entry] = f
	if f.pack {
		f.want = nil
		p.packs.push(Extent{Entry: entry, Length: size, file: f})
		return false, nil
	}
	heap.Push(&p.fresh, f)
	return false, nil
}

// check returns the number of extents in ranges.
func (p *Planner) check(entry uint64, size int64, ranges []transport.Range) (n int64, err error) {
	end := int64(0)
	for _, r := range ranges {
		if r.Offset < end || r.Length <= 0 || r.Length > size-r.Offset ||
			r.Offset%p.o.ChunkSize != 0 || r.Length%p.o.ChunkSize != 0 && r.End() != size {
			return 0, fmt.Errorf("entry %d: range %d+%d of %d bytes is not on the grid of %d", entry, r.Offset, r.Length, size, p.o.ChunkSize)
		}
		end = r.End()
		n += transfer.Extents(r.Length, p.o.ChunkSize)
	}
	return n, nil
}

// End says that no new entries will come, so that packs need not fill up. What
// is restarted may still be added.
func (p *Planner) End() { p.ended = true }

// Drop takes an entry out of the plan. It reports whether nothing of it is on
// its way; otherwise the settling of its last extent gives the event Quiet. The
// entry may then be added again.
func (p *Planner) Drop(entry uint64) (quiet bool) {
	f := p.files[entry]
	if f == nil || f.dropped {
		return f == nil
	}
	f.dropped = true
	if f.queued {
		p.packs.forget(f)
	}
	if f.inFlight > 0 {
		return false
	}
	delete(p.files, entry)
	return true
}

// Next fills c with the next chunk, or reports that there is none now: nothing
// is wanted, or a pack waits for more, or the bound on chunks is reached. It is
// worth asking again after Add, Settle or End.
func (p *Planner) Next(c *Chunk) bool {
	if p.Outstanding() >= p.o.MaxOutstanding {
		return false
	}
	c.Extents = c.Extents[:0]
	if p.packDue() && (p.packChunks == 0 || p.packChunks <= p.largeChunks || !p.haveLarge()) {
		p.packs.take(c, p.o.MaxExtents, p.o.ChunkSize)
		c.Pack = true
		p.packChunks++
	} else if p.haveLarge() {
		c.Pack = false
		c.Extents = append(c.Extents, p.takeLarge())
		p.largeChunks++
	} else {
		return false
	}
	c.unsettled = len(c.Extents)
	return true
}

// packDue reports whether a pack may go now. One that is not full waits while
// another is on its way, so that packs fill when files come slowly, and no
// longer, so that a scan that waits for results gets them.
func (p *Planner) packDue() bool {
	return p.packs.count > 0 && p.packChunks < p.o.MaxPacks && (p.ended || p.packChunks == 0 ||
		p.packs.count >= p.o.MaxExtents || p.packs.bytes > p.o.ChunkSize-p.o.PackLimit)
}

// Settle tells what became of extent i of c. Every extent is settled exactly
// once. The error is ErrCorruption, or nil.
func (p *Planner) Settle(c *Chunk, i int, o Outcome) (Event, error) {
	x := c.Extents[i]
	f := x.file
	c.Extents[i].file = nil
	f.inFlight--
	if c.unsettled--; c.unsettled == 0 {
		if c.Pack {
			p.packChunks--
		} else {
			p.largeChunks--
		}
	}
	var err error
	if o == Corrupt {
		x.Plain = true
		if p.mismatches++; p.mismatches >= MaxMismatches {
			err = ErrCorruption
		}
	}
	switch {
	case f.dropped:
		if f.inFlight > 0 {
			return NoEvent, err
		}
		delete(p.files, f.entry)
		return Quiet, err
	case o == Acked:
		if f.left--; f.left > 0 {
			return NoEvent, err
		}
		delete(p.files, f.entry)
		return Complete, err
	case o == Dropped:
		// The caller drops the entry; until then its other extents go on.
		return NoEvent, err
	}
	if o != Returned {
		x.Failures++
	}
	if f.pack {
		p.packs.push(x)
	} else {
		heap.Push(&p.again, x)
	}
	return NoEvent, err
}

// Outstanding returns the number of chunks that are handed out and not settled.
func (p *Planner) Outstanding() int { return p.packChunks + p.largeChunks }

// Mismatches returns how many extents arrived corrupted, those of earlier attempts
// included.
func (p *Planner) Mismatches() int { return p.mismatches }

// Forgive begins to count corrupted extents anew: what was sent is over, and what
// follows is something else.
func (p *Planner) Forgive() { p.mismatches = 0 }

// Wanted reports whether anything is wanted that is not acknowledged.
func (p *Planner) Wanted() bool { return len(p.files) > 0 }
