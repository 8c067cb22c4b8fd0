package receiver

import (
	"context"
	"errors"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// syncEachUpTo is how many directories are synced one by one at the end.
const syncEachUpTo = 64

// finish does what can be done only when every entry has its result: it deletes
// what a sync asks to, and then sets the metadata of directories, the deepest
// first, which nothing changes any more.
func (e *edge) finish(ctx context.Context) *transfer.Finished {
	e.pub.idle()
	fin := &transfer.Finished{}
	if e.opt.Delete {
		if err := e.deleteExtra(ctx); err != nil {
			fin.Err = e.r.destError(err, transfer.PhaseDelete, e.dest.path)
		}
		fin.Deleted = e.deleted
	}
	if e.opt.DryRun {
		return fin
	}
	err := e.finishDirs(ctx)
	if err == nil && e.opt.durable() {
		err = e.syncTree(ctx)
	}
	if err != nil && fin.Err == nil {
		fin.Err = e.r.destError(err, transfer.PhaseFinish, e.dest.path)
	}
	return fin
}

// finishDirs sets the metadata of all directories. What fails is a second result
// of the entry.
func (e *edge) finishDirs(ctx context.Context) error {
	return e.manifest.DirsBackward(func(ent *transfer.Entry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		s := e.stateOf(ent.Number)
		if s&stateDir == 0 {
			return nil
		}
		lost, err := e.finishDir(ent, s)
		if err == nil && lost == 0 {
			return nil
		}
		res := transfer.Result{Entry: ent.Number, Kind: ent.Kind, Outcome: s.outcome(), Lost: lost}
		if err != nil {
			res = e.failure(ent.Number, ent.Kind, e.entryFailure(err, transfer.PhaseFinish, ent))
		}
		return e.tell(ctx, res)
	})
}

// tell sends a result that gives no credit back, and waits while many are on
// their way.
func (e *edge) tell(ctx context.Context, res transfer.Result) error {
	e.out.result(res)
	return e.out.wait(ctx)
}

func (e *edge) finishDir(ent *transfer.Entry, s state) (lost transfer.Preserve, err error) {
	d, err := e.dirs.get(ent.Number)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	info, err := d.Info()
	if err != nil {
		return 0, err
	}
	have := &info
	if s&stateMade != 0 {
		have = nil // its mode is ours, for the time of the transfer
	}
	a := e.opt.policy.want(ent, have)
	if a.changed(&info) == 0 && a.manage == nil {
		return a.lost, nil
	}
	return a.apply(d.Dir, s&stateMade != 0)
}

// syncTree makes the directories durable: their names and metadata.
func (e *edge) syncTree(ctx context.Context) error {
	base := e.dest.base
	e.mu.Lock()
	touched := e.metaTouched
	e.mu.Unlock()
	if e.manifest.Dirs() > syncEachUpTo && e.r.dirty.fewOthers() || touched {
		// The tree may go over several file systems; that shows only by asking.
		if ok, err := e.syncAllFileSystems(ctx); ok || err != nil {
			return err
		}
	}
	err := e.manifest.DirsBackward(func(ent *transfer.Entry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.stateOf(ent.Number)&stateDir == 0 {
			return nil
		}
		d, err := e.dirs.get(ent.Number)
		if err != nil {
			if fsMissing(err) {
				return nil // finishDirs told
			}
			return err
		}
		defer d.Close()
		return d.Sync()
	})
	return errors.Join(err, base.Sync())
}

// syncAllFileSystems syncs every file system of the tree once. It says false
// where that failed: the error may be a stranger's.
func (e *edge) syncAllFileSystems(ctx context.Context) (ok bool, err error) {
	synced := map[uint64]bool{}
	sync := func(d *fsroot.Dir, dev uint64) bool {
		if synced[dev] {
			return true
		}
		if err := d.SyncFS(); err != nil {
			e.log.Warn("sync file system", "dir", d.Path(), "error", err)
			return false
		}
		synced[dev] = true
		return true
	}
	info, err := e.dest.base.Info()
	if err != nil {
		return false, err
	}
	if !sync(e.dest.base, info.Dev) {
		return false, nil
	}
	errNo := errors.New("no")
	err = e.manifest.DirsBackward(func(ent *transfer.Entry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		s := e.stateOf(ent.Number)
		if s&stateDir == 0 || s&stateMade != 0 {
			return nil // one that was made is on the file system of its parent
		}
		d, err := e.dirs.get(ent.Number)
		if err != nil {
			if fsMissing(err) {
				return nil
			}
			return err
		}
		defer d.Close()
		if !sync(d.Dir, d.id.dev) {
			return errNo
		}
		return nil
	})
	if err == errNo {
		return false, nil
	}
	return err == nil, err
}
