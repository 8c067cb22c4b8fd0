package receiver

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/xferd/xferd/internal/failpoint"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/manifest"
)

// addEntries takes over the next part of the manifest and decides about each
// entry. An error ends the edge.
func (e *edge) addEntries(list []transfer.Entry) error {
	next := e.manifest.Len()
	rows := list
	var bad map[uint64]error
	for i := range list {
		if list[i].Number != next+uint64(i) {
			return &protocolError{fmt.Sprintf("entry %d where %d should be", list[i].Number, next+uint64(i))}
		}
		if err := manifest.CheckEntry(&list[i]); err != nil {
			if bad == nil {
				bad = map[uint64]error{}
				rows = append([]transfer.Entry(nil), list...)
			}
			bad[list[i].Number] = err
			// It fails alone. What stands for it in the manifest names nothing.
			rows[i] = transfer.Entry{Number: list[i].Number, Parent: transfer.NoParent, Kind: transfer.KindFIFO, Name: "?"}
		} else if list[i].Parent == transfer.NoParent && e.opt.names != nil && !e.opt.names[list[i].Name] {
			// Another transfer may hold it.
			return &protocolError{fmt.Sprintf("%q is none of the names that the transfer has asked for", list[i].Name)}
		}
	}
	e.mu.Lock()
	over := e.outstanding+uint64(len(list)) > e.r.cfg.Credits
	e.mu.Unlock()
	if over {
		return &protocolError{"more entries than credits"}
	}
	if err := e.manifest.Append(rows); err != nil {
		return stateError(err)
	}
	e.mu.Lock()
	e.states = append(e.states, make([]state, len(list))...)
	e.outstanding += uint64(len(list))
	e.mu.Unlock()
	results := make([]transfer.Result, 0, len(list))
	for i := range list {
		ent := &list[i]
		if err := bad[ent.Number]; err != nil {
			reason := transfer.BadPath
			if errors.Is(err, manifest.ErrReserved) {
				reason = transfer.ReservedName
			}
			results = append(results, e.failure(ent.Number, ent.Kind, e.entryError(reason, ent.Name, err)))
			continue
		}
		res, done := e.add(ent)
		if done {
			results = append(results, res)
		}
		// A link or child later in the list may ask for this one's result.
		if done && (ent.Kind == transfer.KindDir || ent.Kind == transfer.KindFile) {
			e.report(results...)
			results = results[:0]
		}
	}
	e.report(results...)
	return nil
}

// add decides about one entry. done says that res is its result.
func (e *edge) add(ent *transfer.Entry) (res transfer.Result, done bool) {
	fail := func(err *transfer.Error) (transfer.Result, bool) {
		return e.failure(ent.Number, ent.Kind, err), true
	}
	if ent.Kind == transfer.KindEndDir {
		return transfer.Result{Entry: ent.Number, Kind: ent.Kind, Outcome: transfer.OutcomeSame}, true
	}
	if err := e.checkParent(ent); err != nil {
		return fail(err)
	}
	if len(e.opt.Expected) > 0 && ent.Parent == transfer.NoParent && ent.Kind != transfer.KindFile {
		return fail(e.entryError(transfer.InvalidSpec, ent.Name, errors.New("a digest is expected, and the source is no regular file")))
	}
	if ent.Kind == transfer.KindDir {
		res, err := e.addDir(ent)
		if err != nil {
			return fail(e.entryFailure(err, transfer.PhaseWrite, ent))
		}
		return res, true
	}
	e.setState(ent.Number, stateLinkable)
	f := &file{e: *ent, dir: ent.Parent, name: e.nameOf(ent)}
	if ent.Kind == transfer.KindHardlink {
		return e.addHardlink(f)
	}
	if !e.opt.Preserve.Asks(ent.Kind) {
		return transfer.Result{Entry: ent.Number, Kind: ent.Kind, Outcome: transfer.OutcomeSkipped}, true
	}
	res, done, err := e.decide(f)
	if err != nil {
		return fail(e.entryFailure(err, transfer.PhaseCompare, ent))
	}
	return res, done
}

// checkParent: what an entry lies in must be a directory that this manifest
// made or accepted, so that nothing is ever written through a link of a peer's
// making.
func (e *edge) checkParent(ent *transfer.Entry) *transfer.Error {
	if ent.Parent == transfer.NoParent {
		exact := e.dest.last != "" || e.m.DestMode == transfer.DestExact
		switch {
		case exact && ent.Name != "":
			return e.entryError(transfer.BadPath, ent.Name, errors.New("an exact destination has no other names beside it"))
		case ent.Name == "" && e.dest.last == "" && ent.Kind != transfer.KindDir:
			terr := e.entryError(transfer.DestTypeConflict, e.dest.path, errors.New("the destination is a directory and stays one"))
			terr.Hint = e.slashHint()
			return terr
		}
		return nil
	}
	s := e.stateOf(ent.Parent)
	switch {
	case s&stateDir != 0:
		return nil
	case s.outcome() == transfer.OutcomeFailed:
		return e.dependent(ent.Parent, transfer.DestDirGone, ent.Name, "its directory could not be made")
	}
	return e.entryError(transfer.PathEscapesRoot, ent.Name, errors.New("what it lies in is no directory of this transfer"))
}

func (e *edge) nameOf(ent *transfer.Entry) string {
	if ent.Name == "" {
		return e.dest.last
	}
	return ent.Name
}

func (e *edge) entryError(reason transfer.Reason, name string, err error) *transfer.Error {
	return &transfer.Error{Reason: reason, Side: transfer.SideTarget, Phase: transfer.PhaseCompare, Node: e.r.cfg.Node, Path: name, Err: err}
}

// entryFailure gives an error its reason and the path that it is about.
func (e *edge) entryFailure(err error, phase transfer.Phase, ent *transfer.Entry) *transfer.Error {
	if p, ok := errors.AsType[*fsroot.PathError](err); ok {
		return e.r.destError(err, phase, p.Path)
	}
	return e.r.destError(err, phase, ent.Name)
}

// lookup says what stands at a name; made directories have nothing in them.
func (e *edge) lookup(dir uint64, name string, have *fsroot.Info) (exists bool, err error) {
	if dir != transfer.NoParent && e.stateOf(dir)&stateMade != 0 {
		return false, nil
	}
	d, err := e.dirs.get(dir)
	if err != nil {
		if e.opt.DryRun && errors.Is(err, errNoBase) {
			return false, nil
		}
		return false, err
	}
	defer d.Close()
	*have, err = d.Lstat(name)
	if errors.Is(err, syscall.ENOENT) {
		return false, nil
	}
	return err == nil, err
}

// addDir accepts or makes a directory. Its metadata is set at the end, when
// nothing in it changes any more.
func (e *edge) addDir(ent *transfer.Entry) (res transfer.Result, err error) {
	res = transfer.Result{Entry: ent.Number, Kind: ent.Kind, Outcome: transfer.OutcomePublished}
	var have fsroot.Info
	exists := true
	self := ent.Parent == transfer.NoParent && ent.Name == "" && e.dest.last == ""
	name := e.nameOf(ent)
	switch {
	case !self:
		exists, err = e.lookup(ent.Parent, name, &have)
	case e.dest.base != nil:
		have, err = e.dest.base.Info()
	default:
		exists = false
	}
	if err != nil {
		return res, err
	}
	if exists && have.Kind == fsroot.Symlink && ent.Parent == transfer.NoParent && ent.Name == "" {
		// The destination itself was named by a person: a link to a directory
		// inside the export stands for the directory.
		if have, err = e.dest.base.FollowStat(name); err != nil {
			return res, err
		}
	}
	if exists && have.Kind == fsroot.Directory {
		e.setState(ent.Number, stateDir)
		if err := e.openUp(ent, name, self, &have); err != nil {
			return res, err
		}
		a := e.opt.policy.want(ent, &have)
		if res.Change = a.changed(&have); res.Change == 0 {
			res.Outcome = transfer.OutcomeSame
		}
		if self && ent.Number == 0 && e.dest.fresh() {
			res.Change, res.Outcome = transfer.ChangeNew, transfer.OutcomePublished
		}
		return res, nil
	}
	res.Change = transfer.ChangeNew
	if exists {
		res.Change = transfer.ChangeType
		f := &file{e: *ent, dir: ent.Parent, name: name, have: have}
		if err := e.mayReplace(f, "directory"); err != nil {
			return res, err
		}
		defer func() {
			if err == nil {
				err = e.removed(f)
			}
		}()
	}
	if !e.opt.DryRun {
		if err := e.makeDir(ent, name, exists); err != nil {
			if errors.Is(err, syscall.EEXIST) && !exists {
				return e.addDirBeside(ent, name)
			}
			return res, err
		}
	}
	e.setState(ent.Number, stateDir|stateMade)
	return res, nil
}

// openUp gives the daemon's user the right to write into a directory of its own
// for the time of the transfer, as rsync does: a tree may have read-only ones.
// The mode is set at the end; without PreserveMode it would be lost.
func (e *edge) openUp(ent *transfer.Entry, name string, self bool, have *fsroot.Info) error {
	p := &e.opt.policy
	if e.opt.DryRun || p.uid == 0 || have.UID != p.uid || have.Perm&0o700 == 0o700 || !p.keep.Has(transfer.PreserveMode) {
		return nil
	}
	mode := fsroot.Meta{Set: fsroot.SetPerm, Perm: have.Perm | 0o700}
	if self {
		return e.dest.base.SetMeta(mode)
	}
	d, err := e.dirs.get(ent.Parent)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.SetMetaAt(name, mode)
}

// makeDir makes a directory, after it is in the journal that it is ours.
func (e *edge) makeDir(ent *transfer.Entry, name string, replace bool) error {
	d, err := e.dirs.get(ent.Parent)
	if err != nil {
		return err
	}
	defer d.Close()
	if replace {
		if err := d.Unlink(name); err != nil {
			return err
		}
		failpoint.Hit("receiver/gave-way")
	}
	path := appendString(nil, joinPath(d.Path(), name))
	if _, err := e.journal.append(frameDir, path); err != nil {
		return err
	}
	failpoint.Hit("receiver/mkdir")
	if err = d.Mkdir(name, 0o700); err != nil {
		_, _ = e.journal.append(frameDirNot, path)
	}
	failpoint.Hit("receiver/dir-made")
	return err
}

// addDirBeside accepts what appeared at a name just before we made it: another
// entry of the same name as this file system sees names, or somebody else's.
func (e *edge) addDirBeside(ent *transfer.Entry, name string) (res transfer.Result, err error) {
	d, err := e.dirs.get(ent.Parent)
	if err != nil {
		return res, err
	}
	defer d.Close()
	have, err := d.Lstat(name)
	if err != nil {
		return res, err
	}
	if have.Kind != fsroot.Directory {
		return res, e.conflictError(ent.Parent, name, have.Kind, "directory")
	}
	e.setState(ent.Number, stateDir)
	return transfer.Result{Entry: ent.Number, Kind: ent.Kind, Outcome: transfer.OutcomePublished, Change: transfer.ChangeMtime}, nil
}
