package receiver

import (
	"cmp"
	"context"
	"errors"

	"github.com/xferd/xferd/internal/failpoint"
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
	if e.opt.verify {
		return e.finishVerify(ctx)
	}
	fin := &transfer.Finished{}
	e.dropMark()
	e.tellParents()
	failpoint.Hit("receiver/finish")
	if fin.Err = e.overMax(); e.opt.Delete && fin.Err == nil {
		if err := e.deleteExtra(ctx); err != nil {
			fin.Err = e.r.destError(err, transfer.PhaseDelete, e.dest.path)
		}
	}
	e.mu.Lock()
	fin.Deleted = e.removals.done
	e.mu.Unlock()
	if e.opt.DryRun {
		fin.Err = cmp.Or(fin.Err, e.noRoom())
		return fin
	}
	failpoint.Hit("receiver/deleted")
	t := treeEnd{edge: e, ctx: ctx, systems: map[uint64]*fsroot.Dir{}}
	defer t.close()
	if err := t.run(); err != nil && fin.Err == nil {
		fin.Err = e.r.destError(err, transfer.PhaseFinish, e.dest.path)
	}
	return fin
}

// tell sends a result that gives no credit back, and waits while many are on
// their way.
func (e *edge) tell(ctx context.Context, res transfer.Result) error {
	e.out.result(res)
	return e.out.wait(ctx)
}

// treeEnd sets the metadata of all directories and makes them durable: one by
// one, or by their file systems where they are many.
type treeEnd struct {
	*edge
	ctx     context.Context
	each    bool                   // sync each directory
	systems map[uint64]*fsroot.Dir // one directory of each file system, by device
}

func (t *treeEnd) close() {
	for _, d := range t.systems {
		d.Close()
	}
}

func (t *treeEnd) run() error {
	t.mu.Lock()
	touched := t.metaTouched
	t.mu.Unlock()
	all := touched || t.manifest.Dirs() > syncEachUpTo && t.r.dirty.fewOthers()
	t.each = t.opt.durable() && !all
	base := t.dest.base
	info, err := base.Info()
	if err != nil {
		return err
	}
	t.systems[info.Dev] = base.Retain()
	if err := t.manifest.DirsBackward(t.entry); err != nil {
		return err
	}
	switch {
	case !t.opt.durable():
		return nil
	case t.each:
		return base.Sync()
	}
	for _, d := range t.systems {
		if err := t.fsErrors.sync(d); err != nil {
			// It may be a stranger's: each of ours is asked.
			t.log.Warn("sync file system", "dir", d.Path(), "error", err)
			return t.syncEach()
		}
	}
	if t.fsErrors.settled() > 0 {
		return t.syncEach() // one before may have taken an error of ours
	}
	return nil
}

// entry finishes one directory. What fails is a second result of the entry.
func (t *treeEnd) entry(ent *transfer.Entry) error {
	if err := t.ctx.Err(); err != nil {
		return err
	}
	s := t.stateOf(ent.Number)
	if s&stateDir == 0 {
		return nil
	}
	failpoint.Hit("receiver/dir-meta")
	lost, err := t.directory(ent, s)
	if err == nil && lost == 0 {
		return nil
	}
	res := transfer.Result{Entry: ent.Number, Kind: ent.Kind, Outcome: s.outcome(), Lost: lost}
	if err != nil {
		res = t.failure(ent.Number, ent.Kind, t.entryFailure(err, transfer.PhaseFinish, ent))
	}
	return t.tell(t.ctx, res)
}

func (t *treeEnd) directory(ent *transfer.Entry, s state) (lost transfer.Preserve, err error) {
	d, err := t.dirs.get(ent.Number)
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
	a := t.opt.policy.want(ent, have)
	lost = a.lost
	if a.changed(&info) != 0 || a.manage != nil {
		if lost, err = a.apply(d.Dir, s&stateMade != 0); err != nil {
			return lost, err
		}
	}
	if t.each {
		return lost, d.Sync()
	}
	if t.systems[info.Dev] == nil {
		t.systems[info.Dev] = d.Retain()
	}
	return lost, nil
}

// syncEach syncs the directories one by one after all.
func (t *treeEnd) syncEach() error {
	err := t.manifest.DirsBackward(func(ent *transfer.Entry) error {
		if err := t.ctx.Err(); err != nil {
			return err
		}
		if t.stateOf(ent.Number)&stateDir == 0 {
			return nil
		}
		d, err := t.dirs.get(ent.Number)
		if err != nil {
			if fsMissing(err) {
				return nil // told already
			}
			return err
		}
		defer d.Close()
		return d.Sync()
	})
	return errors.Join(err, t.dest.base.Sync())
}
