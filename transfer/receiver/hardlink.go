package receiver

import (
	"errors"
	"fmt"

	"github.com/xferd/xferd/internal/failpoint"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// addHardlink makes a hard link as soon as the entry it points to has its
// result.
func (e *edge) addHardlink(f *file) (res transfer.Result, done bool) {
	e.mu.Lock()
	s := e.states[f.e.LinkTo]
	if s&stateLinkable != 0 && s.outcome() == 0 {
		f.phase = phaseHeld
		e.files[f.e.Number] = f
		e.held[f.e.LinkTo] = append(e.held[f.e.LinkTo], f)
		e.mu.Unlock()
		return res, false
	}
	e.mu.Unlock()
	return e.hardlink(f, s)
}

// releaseHardlink goes on with a hard link that was held back.
func (e *edge) releaseHardlink(f *file) {
	if res, done := e.hardlink(f, e.stateOf(f.e.LinkTo)); done {
		e.report(res)
	}
}

// hardlink decides about a hard link; to is the state of what it points to.
func (e *edge) hardlink(f *file, to state) (res transfer.Result, done bool) {
	fail := func(reason transfer.Reason, why string) (transfer.Result, bool) {
		return e.failure(f.e.Number, f.e.Kind, e.entryError(reason, f.name, errors.New(why))), true
	}
	switch {
	case to&stateLinkable == 0:
		return fail(transfer.BadPath, "it is a hard link to no file of this transfer")
	case to.outcome() == transfer.OutcomeFailed:
		return e.failure(f.e.Number, f.e.Kind, e.dependent(f.e.LinkTo, transfer.DestChanged, f.name, "the file that it is a hard link to failed")), true
	}
	var err error
	if f.exists, err = e.lookup(f.dir, f.name, &f.have); err != nil {
		return e.failure(f.e.Number, f.e.Kind, e.entryFailure(err, transfer.PhaseCompare, &f.e)), true
	}
	f.task, f.change = taskHardlink, transfer.ChangeNew
	if f.exists {
		f.change = transfer.ChangeTarget
		switch {
		case e.opt.NoClobber:
			return e.result(f, transfer.OutcomeSkipped), true
		case f.have.Kind == fsroot.Directory:
			if err := e.mayReplace(f, "hard link"); err != nil {
				return e.failure(f.e.Number, f.e.Kind, e.entryFailure(err, transfer.PhaseCompare, &f.e)), true
			}
		}
		if other, err := e.linkTarget(f); err == nil && other.Dev == f.have.Dev && other.Ino == f.have.Ino {
			return e.result(f, transfer.OutcomeSame), true
		}
	}
	if e.opt.DryRun {
		return e.result(f, transfer.OutcomePublished), true
	}
	e.publish(f)
	return res, false
}

// linkTarget finds the file that a hard link points to.
func (e *edge) linkTarget(f *file) (info fsroot.Info, err error) {
	d, name, err := e.linkDir(f)
	if err != nil {
		return info, err
	}
	defer d.Close()
	return d.Lstat(name)
}

func (e *edge) linkDir(f *file) (d heldDir, name string, err error) {
	to, err := e.manifest.Entry(f.e.LinkTo)
	if err != nil {
		return d, "", fmt.Errorf("manifest: %w", err)
	}
	d, err = e.dirs.get(to.Parent)
	return d, e.nameOf(&to), err
}

// fillHardlink makes the link under its temporary name.
func (e *edge) fillHardlink(it *item) error {
	d, name, err := e.linkDir(it.file)
	if err != nil {
		return err
	}
	defer d.Close()
	err = it.dir.Link(d.Dir, name, it.temp.name)
	failpoint.Hit("receiver/linked")
	return err
}
