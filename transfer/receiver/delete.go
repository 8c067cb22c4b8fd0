package receiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"
	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/internal/failpoint"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

const (
	// minMaxDelete is the default limit of small destinations.
	minMaxDelete = 100
	// maxDeleteDepth bounds the open directories of a deletion.
	maxDeleteDepth = 200
	// maxDeleteNames is how many names of one directory are taken at a time.
	maxDeleteNames = 4096
)

// deletion is what a sync removes at the destination.
type deletion struct {
	*edge
	ctx   context.Context
	limit int64
	count int64
	// act is false while the entries are only counted. In a dry run they are
	// told, too.
	act, show bool
	// quick tells without waiting for the owner; the limit bounds what is told.
	quick bool
	// dead lets temporary files go that no transfer here is writing any more.
	dead bool
	errs []error // of single names; they do not stop the rest
	// fixed are the directories that stay for what they are, and the first of them:
	// somebody mounted something there, or exports it read-only.
	fixed   int64
	isFixed string
	source  transfer.Fingerprint // of the directory that must not be met; zero is none
}

var errMore = errors.New("there are more names")

// stopError carries an error that ends the deletion out of the reading of a
// directory, apart from those of the reading.
type stopError struct{ err error }

func (e *stopError) Error() string { return e.err.Error() }

func stopped(err error) error {
	if err == nil {
		return nil
	}
	return &stopError{err}
}

var errTooMany = errors.New("more than max_delete")

// deleteExtra removes what the source does not have. It counts first, and when
// that is more than the limit nothing is removed at all.
func (e *edge) deleteExtra(ctx context.Context) error {
	was, were := "nothing was deleted", "nothing was"
	if e.opt.DryRun {
		was, were = "nothing would be deleted", "nothing would be: the run would be refused"
	}
	fail := func(reason transfer.Reason, hint, format string, args ...any) error {
		return &transfer.Error{Reason: reason, Side: transfer.SideTarget, Phase: transfer.PhaseDelete, Node: e.r.cfg.Node, Path: e.dest.path,
			Err: fmt.Errorf(format, args...), Hint: hint}
	}
	// The loop does not touch these any more once a finish has begun.
	if e.scanned.Failed > 0 {
		return fail(transfer.DeleteSuppressed, "mend what failed, or leave it out with --exclude", "the scan of the source had %s, so %s", plural(e.scanned.Failed, "error"), was)
	}
	d := deletion{edge: e, ctx: ctx, limit: 1<<63 - 1, source: e.sourceDir()}
	if err := d.walk(); err != nil {
		return err
	}
	if len(d.errs) > 0 {
		// What cannot be looked at cannot be counted.
		return d.errs[0]
	}
	if d.count == 0 {
		return d.noMirror()
	}
	e.mu.Lock()
	replaced := e.removals.granted
	e.mu.Unlock()
	limit := max(minMaxDelete, (d.count+e.present())/10)
	if e.opt.MaxDelete != nil {
		limit = *e.opt.MaxDelete
	}
	n := d.count + replaced
	allow := fmt.Sprintf("look with -n, and allow it with --max-delete=%d", n)
	var over error
	switch {
	case n > limit:
		over = fail(transfer.MaxDelete, allow, "%s would be deleted and at most %d may be, so %s", entries(n), limit, were)
	case e.opt.MaxDelete == nil && e.manifest.Len() <= emptySource:
		over = fail(transfer.MaxDelete, "is a disk not mounted at the source? "+allow, "the source is empty and %s would be deleted, so %s", entries(n), were)
	}
	if over != nil && !e.opt.DryRun {
		return over
	}
	second := deletion{edge: e, ctx: ctx, limit: limit - replaced, act: !e.opt.DryRun, show: true}
	if over != nil {
		second.limit = d.limit
	}
	err := second.walk()
	e.mu.Lock()
	e.removals.done += second.count
	e.mu.Unlock()
	if err == nil && len(second.errs) > 0 {
		err = second.errs[0]
	}
	return cmp.Or(over, err, d.noMirror())
}

// noMirror is the failure of a deletion that had to leave directories; nil where it
// left none.
func (d *deletion) noMirror() error {
	if d.fixed == 0 {
		return nil
	}
	what := "the source does not have it, and it stays: something is mounted there, or it is exported read-only"
	if d.fixed > 1 {
		what += fmt.Sprintf(", and %d more", d.fixed-1)
	}
	return &transfer.Error{
		Reason: transfer.PartialFailure, Side: transfer.SideTarget, Phase: transfer.PhaseDelete, Node: d.r.cfg.Node, Path: joinPath(d.dest.path, d.isFixed),
		Err: errors.New(what), Hint: "unmount it, or leave it out with --exclude",
	}
}

// emptySource is the length of the manifest of a directory with nothing in it:
// itself and its end.
const emptySource = 2

// present is how many entries of the manifest are at the destination now.
func (e *edge) present() (n int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.states {
		switch s.outcome() {
		case transfer.OutcomePublished, transfer.OutcomeSame, transfer.OutcomeSkipped:
			n++
		}
	}
	return n
}

// walk goes through the manifest and looks into each directory whose listing is
// complete. Of the names of a listing it keeps 8 bytes each: two that collide
// keep one name too many, never one too few.
func (d *deletion) walk() error {
	open := map[uint64][]uint64{}
	return d.manifest.Range(0, d.manifest.Len(), func(ent *transfer.Entry) error {
		if err := d.ctx.Err(); err != nil {
			return err
		}
		if ent.Parent == transfer.NoParent {
			return nil
		}
		if ent.Kind != transfer.KindEndDir {
			open[ent.Parent] = append(open[ent.Parent], xxh3.HashString(ent.Name))
			return nil
		}
		names := open[ent.Parent]
		delete(open, ent.Parent)
		if ent.Flags&transfer.EntryFailed != 0 {
			return nil // not all of it was listed: a mount point, or a part by name
		}
		slices.Sort(names)
		return d.listing(ent.Parent, names)
	})
}

// listing handles one directory of the manifest.
func (d *deletion) listing(num uint64, names []uint64) error {
	s := d.stateOf(num)
	if s&stateDir == 0 || s&stateMade != 0 {
		return nil // not here, or nothing was in it
	}
	rel, err := d.relPath(num)
	if err != nil {
		return err
	}
	dir, err := d.dirs.get(num)
	if err != nil {
		if fsMissing(err) {
			return nil
		}
		return err
	}
	defer dir.Close()
	_, err = d.clear(dir.Dir, rel, 0, func(name string) bool {
		_, ok := slices.BinarySearch(names, xxh3.HashString(name))
		return ok
	})
	return err
}

// relPath is the path of a directory of the manifest from the destination.
func (d *deletion) relPath(num uint64) (string, error) {
	var names []string
	for num != transfer.NoParent {
		ent, err := d.manifest.Entry(num)
		if err != nil {
			return "", err
		}
		if ent.Name != "" {
			names = append(names, ent.Name)
		}
		num = ent.Parent
	}
	slices.Reverse(names)
	return strings.Join(names, "/"), nil
}

type child struct {
	name string
	kind fsroot.Kind
}

// clear removes, or counts, what is in a directory and is not kept. left says
// that something stays in it.
func (d *deletion) clear(dir *fsroot.Dir, rel string, depth int, keep func(name string) bool) (left bool, err error) {
	seen := map[string]bool{} // names that stay though they are not kept
	for {
		var batch []child
		left = len(seen) > 0
		err := dir.ReadDir(func(name string, k fsroot.Kind) error {
			if seen[name] {
				return nil
			}
			if keep(name) || strings.HasPrefix(name, tempPrefix) && !(d.dead && d.r.left(name)) {
				left = true
				return nil
			}
			if !d.act { // nothing changes, so the reading may go on beside it
				stays, err := d.remove(dir, child{name, k}, joinRel(rel, name), depth)
				left = left || stays
				return stopped(err)
			}
			if batch = append(batch, child{name, k}); len(batch) == maxDeleteNames {
				return errMore
			}
			return nil
		})
		if stop, ok := errors.AsType[*stopError](err); ok {
			return true, stop.err
		}
		more := errors.Is(err, errMore)
		if err != nil && !more {
			if fsMissing(err) {
				return false, nil
			}
			d.errs = append(d.errs, err)
			return true, nil
		}
		for _, c := range batch {
			stays, err := d.remove(dir, c, joinRel(rel, c.name), depth)
			if err != nil {
				return true, err
			}
			if stays {
				left, seen[c.name] = true, true
			}
		}
		if !more {
			return left, nil
		}
	}
}

// remove deals with one name that the source does not have. An error ends the
// deletion.
func (d *deletion) remove(dir *fsroot.Dir, c child, rel string, depth int) (stays bool, err error) {
	if err := d.ctx.Err(); err != nil {
		return true, err
	}
	if c.kind == 0 {
		info, err := dir.Lstat(c.name)
		if err != nil {
			return d.note(err)
		}
		c.kind = info.Kind
	}
	isDir := c.kind == fsroot.Directory
	if d.opt.filters.Excluded(rel, isDir) || d.opt.verify && !d.opt.Preserve.Asks(entryKind(c.kind)) {
		return true, nil
	}
	if isDir {
		if stays, err := d.removeIn(dir, c.name, rel, depth+1); err != nil || stays {
			return true, err
		}
	}
	if d.count >= d.limit {
		return true, fmt.Errorf("%w: the destination grew meanwhile", errTooMany)
	}
	if d.act {
		failpoint.Hit("receiver/delete")
		err := unlinkOrRmdir(dir, c.name, isDir)
		failpoint.Hit("receiver/deleted-one")
		if isDir && (errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST)) {
			return true, nil // somebody put something in
		}
		if err != nil {
			return d.note(err)
		}
	}
	d.count++
	if !d.show {
		return false, nil
	}
	res := transfer.Result{Entry: transfer.NoEntry, Path: rel, Kind: entryKind(c.kind), Outcome: transfer.OutcomeDeleted, Change: transfer.ChangeDelete}
	if d.quick {
		d.out.result(res)
		return false, nil
	}
	return false, d.tell(d.ctx, res)
}

// note keeps the error of one name; the others are dealt with all the same.
func (d *deletion) note(err error) (stays bool, _ error) {
	if fsMissing(err) {
		return false, nil
	}
	d.errs = append(d.errs, err)
	return true, nil
}

func unlinkOrRmdir(dir *fsroot.Dir, name string, isDir bool) error {
	if isDir {
		return dir.Rmdir(name)
	}
	return dir.Unlink(name)
}

// removeIn empties a directory that the source does not have. What is mounted
// there, or exported read-only, is left alone.
func (d *deletion) removeIn(parent *fsroot.Dir, name, rel string, depth int) (stays bool, err error) {
	if depth > maxDeleteDepth {
		return d.note(fmt.Errorf("%s: deeper than %d directories", rel, maxDeleteDepth))
	}
	dir, err := parent.OpenDir(name)
	if err != nil {
		return d.note(err)
	}
	defer dir.Close()
	if err := d.isSource(dir, rel); err != nil {
		return true, err
	}
	if (dir.ReadOnly() || dir.IsMount()) && !d.opt.verify {
		if d.fixed++; d.fixed == 1 {
			d.isFixed = rel
		}
		return true, nil
	}
	return d.clear(dir, rel, depth, func(string) bool { return false })
}

func entryKind(k fsroot.Kind) transfer.Kind {
	switch k {
	case fsroot.Directory:
		return transfer.KindDir
	case fsroot.Symlink:
		return transfer.KindSymlink
	case fsroot.FIFO:
		return transfer.KindFIFO
	case fsroot.Socket:
		return transfer.KindSocket
	case fsroot.CharDev:
		return transfer.KindCharDevice
	case fsroot.BlockDev:
		return transfer.KindBlockDevice
	}
	return transfer.KindFile
}
