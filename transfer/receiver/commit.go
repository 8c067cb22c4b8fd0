package receiver

import (
	"errors"
	"syscall"

	"github.com/xferd/xferd/internal/failpoint"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// journalTemps names the temps of a batch that are not made yet, before they are.
func (e *edge) journalTemps(items []item) error {
	var list []smallTemp
	for i := range items {
		it := &items[i]
		if it.err != nil || it.temp != nil || it.task == taskMeta {
			continue
		}
		it.temp = &temp{num: e.nextTemp(), at: -1, born: e.fsErrors.seen()}
		it.temp.name = e.temps.name(it.temp.num)
		list = append(list, smallTemp{Entry: it.e.Number, Dir: it.dir.Path(), Temp: it.temp.num, Final: it.name})
	}
	if len(list) == 0 {
		return nil
	}
	return e.note(e.ctx, frameTemps, appendTemps(nil, list))
}

// fill makes what is not made yet, with its metadata.
func (e *edge) fill(it *item) error {
	switch it.task {
	case taskFile:
		it.res.Bytes = it.e.Size - it.resumed
		it.res.Digest = transfer.FileDigest(e.opt.ChunkSize, it.e.Size, it.digests)
		if it.temp.meta {
			it.res.Lost = it.temp.lost
			return nil
		}
		var err error
		it.res.Lost, err = it.attrs.apply(it.temp.f, true)
		return err
	case taskEmpty:
		return e.fillEmpty(it)
	case taskMeta:
		return e.fillMeta(it)
	case taskSymlink:
		if err := it.dir.Symlink(it.e.Link, it.temp.name); err != nil {
			return err
		}
	case taskHardlink:
		return e.fillHardlink(it)
	case taskSpecial:
		if err := it.dir.Mknod(it.temp.name, kindHere(it.e.Kind), 0o600, it.e.Meta.Rdev); err != nil {
			return err
		}
	}
	return e.metaAt(it, it.temp.name)
}

// metaAt sets the metadata of what cannot be opened.
func (e *edge) metaAt(it *item, name string) (err error) {
	it.res.Lost, err = setMeta(func(m fsroot.Meta) error { return it.dir.SetMetaAt(name, m) }, it.attrs.meta)
	it.res.Lost |= it.attrs.lost
	return err
}

func (e *edge) fillEmpty(it *item) (err error) {
	if it.temp.f, err = it.dir.Create(it.temp.name, 0o600); err != nil {
		return err
	}
	failpoint.Hit("receiver/empty-created")
	if e.opt.digests() {
		it.res.Digest = transfer.FileDigest(e.opt.ChunkSize, 0, nil)
	}
	if err = e.finishTemp(it.file, it.temp); err != nil {
		return err
	}
	it.res.Lost = it.temp.lost
	return nil
}

// fillMeta changes the metadata of a file whose content is right, in place. It
// has its result without a rename; a durable one is synced like the others.
func (e *edge) fillMeta(it *item) error {
	it.skip = !e.opt.durable() || it.e.Kind != transfer.KindFile
	if it.e.Kind != transfer.KindFile {
		e.touchMeta()
		return e.metaAt(it, it.name)
	}
	born := e.fsErrors.seen()
	h, err := it.dir.Open(it.name)
	if notPermitted(err) && !errors.Is(err, fsroot.ErrNotRegular) {
		// Not ours to read. It can be changed by name all the same.
		it.skip = true
		e.touchMeta()
		return e.metaAt(it, it.name)
	}
	if err != nil {
		return err
	}
	if it.res.Lost, err = it.attrs.apply(h, false); err != nil || it.skip {
		return errors.Join(err, h.Close())
	}
	it.temp = &temp{f: h, at: -1, born: born} // to be synced, not to be renamed: see rename
	return nil
}

func (e *edge) touchMeta() {
	e.mu.Lock()
	e.metaTouched = true
	e.mu.Unlock()
}

// rename brings one entry under its final name.
func (e *edge) rename(it *item) error {
	if it.task == taskMeta {
		return nil
	}
	if it.removes > 0 && it.have.Kind == fsroot.Directory {
		if err := e.clearWay(it); err != nil {
			return err
		}
	}
	lock := e.r.names.of(it.dir.id, it.name)
	lock.Lock()
	defer lock.Unlock()
	// Where nothing was there nothing should be there now: what is, is another
	// entry that this file system takes for the same name, or a stranger's.
	fresh := !it.exists && it.file.dir != transfer.NoParent && e.stateOf(it.file.dir)&stateMade != 0
	failpoint.Hit("receiver/rename")
	err := it.dir.Rename(it.temp.name, it.dir.Dir, it.name, fresh || e.opt.NoClobber)
	if errors.Is(err, syscall.EEXIST) && !e.opt.NoClobber && hasName(it.dir.Dir, it.name) {
		// Another transfer into the same tree, or a stranger, was here first: the last
		// one counts.
		fresh = false
		err = it.dir.Rename(it.temp.name, it.dir.Dir, it.name, false)
	}
	failpoint.Hit("receiver/renamed")
	switch {
	case err == nil && it.task == taskHardlink:
		// Where the name was a link to the same file already, both names are left.
		if err := it.dir.Unlink(it.temp.name); err != nil && !fsMissing(err) {
			e.log.Warn("temporary file stays", "dir", it.dir.Path(), "name", it.temp.name, "error", err)
		}
		return nil
	case err == nil && it.removes > 0 && it.have.Kind == fsroot.Symlink:
		return e.removed(it.file)
	case err == nil:
		return nil
	case errors.Is(err, syscall.EEXIST) && e.opt.NoClobber:
		it.skip = true
		it.res = e.result(it.file, transfer.OutcomeSkipped)
		return nil
	case errors.Is(err, syscall.EEXIST) && fresh:
		return e.conflictError(it.file.dir, it.name, fsroot.Regular, "file of the same name as this file system sees it")
	case errors.Is(err, syscall.ENOENT):
		// The temp or the directory is gone. Which of the two matters to people.
		if terr := e.dirs.inPlace(it.dir); terr != nil {
			return terr
		}
	}
	return err
}

var errFound = errors.New("found")

// hasName says whether a directory lists just this name: where a file system takes
// several for the same, a lookup does not tell.
func hasName(d *fsroot.Dir, name string) bool {
	err := d.ReadDir(func(n string, _ fsroot.Kind) error {
		if n == name {
			return errFound
		}
		return nil
	})
	return errors.Is(err, errFound)
}

// journalCommitting writes the decision point of a batch and makes it durable.
func (e *edge) journalCommitting(items []item) error {
	var list []smallTemp
	for i := range items {
		it := &items[i]
		if it.err != nil || it.skip || it.task == taskMeta {
			continue
		}
		list = append(list, smallTemp{Entry: it.e.Number, Dir: it.dir.Path(), Temp: it.temp.num, Ino: it.temp.id.ino, Final: it.name})
	}
	if len(list) == 0 {
		return nil
	}
	if err := e.note(e.ctx, frameCommitting, appendTemps(nil, list)); err != nil {
		return err
	}
	return e.journal.sync(e.ctx)
}

// journalCommitted ends a batch.
func (e *edge) journalCommitted(items []item) error {
	var list []uint64
	for i := range items {
		if items[i].temp != nil && items[i].task != taskMeta {
			list = append(list, items[i].e.Number)
		}
	}
	if len(list) == 0 {
		return nil
	}
	if err := e.note(e.ctx, frameCommitted, appendNumbers(nil, list)); err != nil {
		return err
	}
	if !e.opt.durable() {
		return nil
	}
	return e.journal.sync(e.ctx)
}
