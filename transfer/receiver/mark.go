package receiver

import (
	"errors"
	"io/fs"
	"os"

	"github.com/xferd/xferd/internal/failpoint"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// mark is the file by which the owner sees whether source and destination meet in a
// file system that both nodes reach.
type mark struct {
	dir  *fsroot.Dir
	name string
}

// leaveMark makes the mark that the owner asks for. It is in the journal before it is
// made, as a temp without bytes, so that recovery removes it. Without one nothing may
// be removed: only what just copies goes on.
func (e *edge) leaveMark() *transfer.Error {
	if !e.m.Mark {
		return nil
	}
	names := transfer.MarkOf(e.m.UID, e.m.Epoch)
	mk := &mark{dir: e.dest.base.Retain(), name: names.In}
	if e.dest.last != "" {
		mk.name = names.Beside
		if d, err := e.dest.root.OpenDir(e.dest.rel); err == nil {
			mk.dir.Close()
			mk.dir, mk.name = d, names.In
		}
	}
	rec := tempFrame{Entry: transfer.NoEntry, Name: mk.name, Dir: mk.dir.Path()}
	if _, err := e.journal.append(frameTemp, rec.append(nil)); err != nil {
		mk.dir.Close()
		return e.r.storeRefusal(err)
	}
	err := quietly(mk.dir, func() error {
		f, err := mk.dir.Create(mk.name, 0o600)
		if err != nil {
			return err
		}
		return f.Close()
	})
	if err == nil {
		e.mu.Lock()
		e.mark = mk
		e.mu.Unlock()
		failpoint.Hit("receiver/marked")
		return nil
	}
	mk.dir.Close()
	if e.opt.Delete || e.m.Options.Force {
		return e.r.destError(err, transfer.PhaseConnect, e.dest.path)
	}
	e.log.Info("the destination could not be marked: whether it lies in the source is not checked", "error", err)
	return nil
}

// dropMark removes the mark, once. It comes before the metadata of directories is set,
// and before those that are empty are removed.
func (e *edge) dropMark() {
	e.mu.Lock()
	mk := e.mark
	e.mark = nil
	e.mu.Unlock()
	if mk == nil {
		return
	}
	defer mk.dir.Close()
	err := quietly(mk.dir, func() error { return mk.dir.Unlink(mk.name) })
	if err != nil && !fsMissing(err) {
		e.log.Warn("temporary file stays", "dir", mk.dir.Path(), "name", mk.name, "error", err)
	}
}

// quietly changes the names in a directory without a trace in its time, by which
// people and transfers tell whether anything in it changed. A directory of the daemon's
// user that is read-only is opened up for that moment.
func quietly(d *fsroot.Dir, change func() error) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	before := fsroot.Meta{Set: fsroot.SetMtime, Mtime: info.Mtime}
	if err = change(); errors.Is(err, fs.ErrPermission) && int(info.UID) == os.Geteuid() {
		if d.SetMeta(fsroot.Meta{Set: fsroot.SetPerm, Perm: info.Perm | 0o300}) != nil {
			return err
		}
		before.Set, before.Perm = before.Set|fsroot.SetPerm, info.Perm
		err = change()
	}
	if err == nil || before.Set&fsroot.SetPerm != 0 {
		_ = d.SetMeta(before) // a directory of somebody else keeps its own time
	}
	return err
}
