package receiver

import (
	"errors"
	"fmt"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// removals counts what goes at the destination. Those that were granted are
// promised to entries under way; refused ones stay. Guarded by the edge's mutex.
type removals struct{ granted, refused, done int64 }

// mayReplace says whether what stands at a name may give way to an entry: only
// when it was asked for, and when all that is in it may go, and is no more than
// max_delete allows. That is found out before the first name goes: what a filter
// leaves out, what is mounted or read-only there and what other transfers are
// writing stays, and so does the directory.
func (e *edge) mayReplace(f *file, want string) error {
	if e.opt.verify {
		return nil // another type is a difference as any
	}
	if !e.opt.Force {
		return e.conflictError(f.dir, f.name, f.have.Kind, want)
	}
	if f.have.Kind != fsroot.Directory {
		if err := e.grant(f, 1); err != nil || !e.opt.DryRun || f.e.Kind == transfer.KindDir {
			return err
		}
		return e.removed(f)
	}
	if f.dir == transfer.NoParent && e.dest.last != "" {
		e.dropMark() // the destination itself gives way, and the owner has looked
	}
	d, err := e.emptied(f, deletion{edge: e, ctx: e.ctx, limit: 1<<63 - 1, quick: true, dead: true}, want)
	if err != nil {
		return err
	}
	if err := e.grant(f, d.count+1); err != nil || !e.opt.DryRun {
		return err
	}
	d, err = e.emptied(f, deletion{edge: e, ctx: e.ctx, limit: 1<<63 - 1, quick: true, show: true, dead: true}, want)
	e.mu.Lock()
	e.removals.done += d.count
	e.mu.Unlock()
	if err != nil {
		return err
	}
	return e.removed(f)
}

// emptied goes through all that is in a directory, as how says: counts it, tells
// it or removes it.
func (e *edge) emptied(f *file, how deletion, want string) (*deletion, error) {
	d := &how
	parent, err := e.dirs.get(f.dir)
	if err != nil {
		return d, err
	}
	defer parent.Close()
	rel, err := e.relOf(f.dir, f.name)
	if err != nil {
		return d, err
	}
	stays, err := d.removeIn(parent.Dir, f.name, rel, 0)
	if err = errors.Join(append(d.errs, err)...); err != nil {
		return d, err
	}
	if stays {
		terr := e.entryError(transfer.DestTypeConflict, f.name, fmt.Errorf("a directory is in the way of a %s, with something in it that must stay", want))
		terr.Hint = "look for names that a filter leaves out, for mounts, and for transfers into it"
		return d, terr
	}
	return d, nil
}

// relOf is the path of a name from the destination. An exact destination that is
// no directory has its own name.
func (e *edge) relOf(dir uint64, name string) (string, error) {
	if dir == transfer.NoParent {
		return name, nil
	}
	above, err := (&deletion{edge: e}).relPath(dir)
	return joinRel(above, name), err
}

// grant promises an entry that n names may go for it. What the size of the
// destination is nobody knows yet, so the default is that of a small one.
func (e *edge) grant(f *file, n int64) error {
	limit := int64(minMaxDelete)
	if e.opt.MaxDelete != nil {
		limit = *e.opt.MaxDelete
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.removals.granted -= f.removes // the entry was decided before
	f.removes = 0
	if e.removals.granted+n > limit {
		e.removals.refused += n
		terr := e.entryError(transfer.MaxDelete, f.name, fmt.Errorf("a %s is in the way, and with it %s would be deleted: at most %d may be, so it stays", f.have.Kind, entries(n), limit))
		terr.Hint = "look with -n, and allow more with --max-delete"
		if e.slashHelps(f.dir) && f.have.Kind == fsroot.Directory {
			terr.Hint = e.slashHint() + "; or " + terr.Hint
		}
		return terr
	}
	e.removals.granted += n
	f.removes = n
	return nil
}

func entries(n int64) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// clearWay removes a directory that gives way to an entry, name by name, and no
// more than it was granted.
func (e *edge) clearWay(it *item) error {
	now, err := it.dir.Lstat(it.name)
	if fsMissing(err) || err == nil && now.Kind != fsroot.Directory {
		return nil // it went by itself
	}
	if err != nil {
		return err
	}
	d, err := e.emptied(it.file, deletion{edge: e, ctx: e.ctx, limit: it.removes - 1, act: true, show: true, quick: true, dead: true}, kindHere(it.e.Kind).String())
	e.mu.Lock()
	e.removals.done += d.count
	e.mu.Unlock()
	if err != nil {
		return err
	}
	if err := it.dir.Rmdir(it.name); err != nil {
		return err
	}
	return e.removed(it.file)
}

// removed tells that what stood at the name of an entry is gone.
func (e *edge) removed(f *file) error {
	if e.opt.verify {
		return nil
	}
	rel, err := e.relOf(f.dir, f.name)
	if err != nil {
		return err
	}
	e.mu.Lock()
	e.removals.done++
	e.mu.Unlock()
	e.out.result(transfer.Result{Entry: transfer.NoEntry, Path: rel, Kind: entryKind(f.have.Kind), Outcome: transfer.OutcomeDeleted, Change: transfer.ChangeDelete})
	return nil
}

// overMax is the failure of a transfer that would have replaced more than may be
// deleted; nil where it did not.
func (e *edge) overMax() *transfer.Error {
	e.mu.Lock()
	r := e.removals
	e.mu.Unlock()
	if r.refused == 0 {
		return nil
	}
	return &transfer.Error{Reason: transfer.MaxDelete, Side: transfer.SideTarget, Phase: transfer.PhaseFinish, Node: e.r.cfg.Node, Path: e.dest.path,
		Err:  fmt.Errorf("%s would be deleted to make room for another type, more than may be, so they stay", entries(r.refused)),
		Hint: fmt.Sprintf("look with -n, and allow it with --max-delete=%d", r.granted+r.refused)}
}

// slashHelps says whether an entry of that directory is what the destination was
// named for, and not something in it.
func (e *edge) slashHelps(dir uint64) bool {
	return dir == transfer.NoParent && e.m.DestMode == transfer.DestExact && e.m.Mode != transfer.ModeAssemble
}

// slashHint says how to copy into a directory that was named as the copy.
func (e *edge) slashHint() string {
	path := transfer.EscapePath(e.dest.path)
	if path != "/" {
		path += "/"
	}
	return fmt.Sprintf("to copy into it, end the destination with a slash: %s:%s", e.r.cfg.Node, path)
}

// conflictError is the failure of an entry that something of another type is in
// the way of.
func (e *edge) conflictError(dir uint64, name string, have fsroot.Kind, want string) *transfer.Error {
	terr := e.entryError(transfer.DestTypeConflict, name, fmt.Errorf("a %s is in the way of a %s", have, want))
	switch {
	case have != fsroot.Directory && have != fsroot.Symlink:
		terr.Hint = "remove what is in the way, or allow it with --force"
	case have == fsroot.Symlink && want == fsroot.Directory.String():
		terr.Hint = "remove the link, or let it be replaced with --force"
	case have == fsroot.Symlink && e.slashHelps(dir):
		terr.Err = fmt.Errorf("a symbolic link to a directory is in the way of a %s", want)
		terr.Hint = e.slashHint() + "; --force replaces the link"
	case e.slashHelps(dir):
		terr.Hint = e.slashHint() + "; --force deletes the directory with everything in it"
	default:
		terr.Hint = "remove the directory, or let --force delete it with everything in it"
	}
	return terr
}
