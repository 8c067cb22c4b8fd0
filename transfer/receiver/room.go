package receiver

import (
	"fmt"
	"os"
	"strings"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// room is what a dry run finds out about the space that a run would take: a lower
// bound of what the file system of the destination would have less. Guarded by the
// edge's mutex.
type room struct {
	need int64
	// dir is the directory that was asked for last, and there whether it lies in
	// the file system of the destination.
	dir   uint64
	known bool
	there bool
}

// wouldMove returns the bytes of a file that a run would move, and notes what it
// would need room for.
func (e *edge) wouldMove(f *file) int64 {
	if f.e.Kind != transfer.KindFile {
		return 0
	}
	landed, kept := e.peekPartial(f)
	need := f.e.Size
	switch {
	case kept, f.e.Flags&transfer.EntrySparse != 0:
		need = 0 // it has its room; or nobody knows here how much of it are holes
	case e.peer.SameNode:
		return f.e.Size - landed // files may share their blocks
	}
	if f.exists && f.have.Kind == fsroot.Regular && f.have.Nlink == 1 {
		need -= f.have.Blocks * 512
	}
	if e.inBase(f.dir) {
		e.mu.Lock()
		e.room.need += need
		e.mu.Unlock()
	}
	return f.e.Size - landed
}

// peekPartial says how much of a file an earlier transfer left that a run would go
// on with. It may be less, since that is hashed again.
func (e *edge) peekPartial(f *file) (landed int64, ok bool) {
	extents := transfer.Extents(f.e.Size, e.opt.ChunkSize)
	if extents < 2 || extents > maxExtents {
		return 0, false
	}
	d, err := e.dirs.get(f.dir)
	if err != nil {
		return 0, false
	}
	dir := d.Path()
	d.Close()
	rec, ok, err := e.r.t.partials.Get(partialKey(dir, f.name, e.m.Owner, f.e.Print))
	if err != nil || !ok || rec.ChunkSize != e.opt.ChunkSize || !rec.is(dir, f.name, e.m.Owner, f.e.Print) {
		return 0, false
	}
	digests, err := e.r.landedOf(&rec, extents)
	if err != nil {
		return 0, false
	}
	for i := range digests {
		landed += transfer.ExtentRange(i, f.e.Size, e.opt.ChunkSize).Length
	}
	return landed, true
}

// inBase says whether a directory of a dry run lies in the file system of the
// destination, as far as it is there.
func (e *edge) inBase(dir uint64) bool {
	e.mu.Lock()
	r := e.room
	e.mu.Unlock()
	if r.known && r.dir == dir {
		return r.there
	}
	there := e.lookInBase(dir)
	e.mu.Lock()
	e.room.dir, e.room.there, e.room.known = dir, there, true
	e.mu.Unlock()
	return there
}

func (e *edge) lookInBase(dir uint64) bool {
	for dir != transfer.NoParent && e.stateOf(dir)&stateMade != 0 {
		ent, err := e.manifest.Entry(dir)
		if err != nil {
			return false
		}
		dir = ent.Parent
	}
	if dir == transfer.NoParent {
		return true
	}
	d, err := e.dirs.get(dir)
	if err != nil {
		return false
	}
	defer d.Close()
	base, err := e.dest.base.Info()
	return err == nil && d.id.dev == base.Dev
}

// noRoom is the failure of a dry run whose files would not fit; nil where they may.
func (e *edge) noRoom() *transfer.Error {
	e.mu.Lock()
	need, unknown := e.room.need, e.removals.granted > 0 // and what goes for others gives room
	e.mu.Unlock()
	if need <= 0 || unknown {
		return nil
	}
	s, err := e.dest.statfs()
	if err != nil || s.Total == 0 {
		return nil
	}
	free := s.FreeBytes
	if os.Geteuid() == 0 {
		free = s.RootBytes
	}
	if need <= free {
		return nil
	}
	return &transfer.Error{Reason: transfer.DestNoSpace, Side: transfer.SideTarget, Phase: transfer.PhaseFinish, Node: e.r.cfg.Node, Path: e.dest.path,
		Err:  fmt.Errorf("the files would take %d bytes more and %d are free, so they would not fit", need, free),
		Hint: "free space there, or copy less"}
}

// statfs tells the space where the destination is, or would be made.
func (d *dest) statfs() (s fsroot.Statfs, err error) {
	dir, err := d.existing()
	if err != nil {
		return s, err
	}
	defer dir.Close()
	return dir.Statfs()
}

// existing opens the deepest directory on the way to the destination that is there.
func (d *dest) existing() (*fsroot.Dir, error) {
	have := strings.TrimSuffix(strings.TrimSuffix(d.rel, string(d.id.Rest)), "/")
	dir, err := d.root.OpenDir(have)
	for fsMissing(err) && have != "" { // it was made by one that has just been cancelled
		have = parentOf(have)
		dir, err = d.root.OpenDir(have)
	}
	return dir, err
}
