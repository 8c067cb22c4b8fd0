package receiver

import (
	"fmt"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// decide finds out what an entry that is neither a directory nor a hard link
// needs: nothing, new metadata, or all of it.
func (e *edge) decide(f *file) (res transfer.Result, done bool, err error) {
	ent := &f.e
	if f.exists, err = e.lookup(f.dir, f.name, &f.have); err != nil {
		return res, false, err
	}
	if !f.exists {
		f.change = transfer.ChangeNew
		return e.need(f)
	}
	if e.opt.NoClobber || e.opt.Update && f.have.Kind == kindHere(ent.Kind) && f.have.Mtime > ent.Meta.Mtime {
		return e.result(f, transfer.OutcomeSkipped), true, nil
	}
	if e.inTheWay(f) {
		if err := e.mayReplace(f, kindHere(ent.Kind).String()); err != nil {
			return res, false, err
		}
	}
	if f.have.Kind != kindHere(ent.Kind) {
		f.change = transfer.ChangeType
		return e.need(f)
	}
	same, digests, err := e.same(f)
	switch {
	case err != nil:
		return res, false, err
	case digests:
		e.keep(f, phaseDigests)
		e.out.answer(transfer.Answer{Entry: ent.Number, Want: transfer.WantDigests})
		return res, false, nil
	case same:
		return e.keepContent(f)
	}
	return e.need(f)
}

// inTheWay says whether what stands at the name of an entry that is no directory
// does not just give way to it: a directory, and a link to one that a person named
// as the destination, which may have been meant to be copied into.
func (e *edge) inTheWay(f *file) bool {
	switch f.have.Kind {
	case fsroot.Directory:
		return true
	case fsroot.Symlink:
		if f.e.Kind == transfer.KindSymlink || !e.slashHelps(f.dir) {
			return false
		}
		to, err := e.dest.base.FollowStat(f.name)
		return err == nil && to.Kind == fsroot.Directory
	}
	return false
}

// kindHere is the kind of file that an entry becomes.
func kindHere(k transfer.Kind) fsroot.Kind {
	switch k {
	case transfer.KindFile, transfer.KindHardlink:
		return fsroot.Regular
	case transfer.KindDir:
		return fsroot.Directory
	case transfer.KindSymlink:
		return fsroot.Symlink
	case transfer.KindFIFO:
		return fsroot.FIFO
	case transfer.KindSocket:
		return fsroot.Socket
	case transfer.KindCharDevice:
		return fsroot.CharDev
	case transfer.KindBlockDevice:
		return fsroot.BlockDev
	}
	return 0
}

// same compares content with what is there, of the same kind. digests says that
// only the owner's digests can tell.
func (e *edge) same(f *file) (same, digests bool, err error) {
	ent := &f.e
	switch ent.Kind {
	case transfer.KindSymlink:
		d, err := e.dirs.get(f.dir)
		if err != nil {
			return false, false, err
		}
		defer d.Close()
		link, err := d.Readlink(f.name)
		if err != nil {
			return false, false, err
		}
		if link != ent.Link {
			f.change = transfer.ChangeTarget
		}
		return link == ent.Link, false, nil
	case transfer.KindCharDevice, transfer.KindBlockDevice:
		if f.have.Rdev != ent.Meta.Rdev {
			f.change = transfer.ChangeTarget
		}
		return f.have.Rdev == ent.Meta.Rdev, false, nil
	case transfer.KindFile:
	default:
		return true, false, nil
	}
	if f.have.Size != ent.Size {
		f.change = transfer.ChangeSize
		if e.opt.Preserve.Has(transfer.PreserveTimes) && f.have.Mtime != ent.Meta.Mtime {
			f.change |= transfer.ChangeMtime
		}
		return false, false, nil
	}
	compare := e.opt.Compare
	if e.m.Mode == transfer.ModeAssemble {
		// Other ranges of the same files give the same size and mtime.
		compare = transfer.CompareChecksum
	}
	switch compare {
	case transfer.CompareSize:
		return true, false, nil
	case transfer.CompareChecksum:
		return ent.Size == 0, ent.Size > 0, nil
	}
	if f.have.Mtime != ent.Meta.Mtime {
		f.change = transfer.ChangeMtime
		return false, false, nil
	}
	return true, false, nil
}

// keepContent ends an entry whose content is here, after its metadata is made
// the same where it is not.
func (e *edge) keepContent(f *file) (res transfer.Result, done bool, err error) {
	if e.opt.Digest != "" && f.e.Kind == transfer.KindFile && f.content == "" {
		e.keep(f, phaseWork)
		e.work.add(func() { e.digestHere(f) })
		return res, false, nil
	}
	f.attrs = e.opt.policy.want(&f.e, &f.have)
	f.change = f.attrs.changed(&f.have)
	if f.attrs.manage != nil {
		c, err := e.compareXattrs(f)
		if err != nil {
			return res, false, err
		}
		f.change |= c
	}
	if f.change == 0 {
		return e.result(f, transfer.OutcomeSame), true, nil
	}
	if e.opt.DryRun {
		return e.result(f, transfer.OutcomePublished), true, nil
	}
	f.task = taskMeta
	e.publish(f)
	return res, false, nil
}

func (e *edge) compareXattrs(f *file) (transfer.Change, error) {
	d, err := e.dirs.get(f.dir)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	h, err := d.Open(f.name)
	if err != nil {
		if notPermitted(err) {
			return 0, nil // not ours to read; the mode may mend it
		}
		return 0, err
	}
	defer h.Close()
	return f.attrs.xattrsChanged(h)
}

// need sets in motion what makes an entry that is not here, or not the same.
func (e *edge) need(f *file) (res transfer.Result, done bool, err error) {
	var have *fsroot.Info
	if f.exists {
		have = &f.have
	}
	f.attrs = e.opt.policy.want(&f.e, have)
	if f.exists && f.have.Kind == kindHere(f.e.Kind) {
		f.change |= f.attrs.changed(have)
	}
	if e.opt.DryRun {
		res = e.result(f, transfer.OutcomePublished)
		res.Bytes = e.wouldMove(f)
		return res, true, nil
	}
	switch f.e.Kind {
	case transfer.KindFile:
		return e.needBytes(f)
	case transfer.KindSymlink:
		f.task = taskSymlink
	default:
		f.task = taskSpecial
	}
	e.publish(f)
	return res, false, nil
}

func (e *edge) needBytes(f *file) (res transfer.Result, done bool, err error) {
	if f.e.Size == 0 {
		f.task = taskEmpty
		e.publish(f)
		return res, false, nil
	}
	f.extents = transfer.Extents(f.e.Size, e.opt.ChunkSize)
	if f.extents > maxExtents {
		terr := e.entryError(transfer.Unsupported, f.name, fmt.Errorf("%d bytes are %d chunks of %d, at most %d are possible", f.e.Size, f.extents, e.opt.ChunkSize, maxExtents))
		terr.Hint = "use a larger --chunk-size"
		return res, false, terr
	}
	f.task = taskFile
	if f.extents > 1 {
		rec, key, ok, err := e.findPartial(f)
		if err != nil {
			return res, false, err
		}
		if ok {
			e.keep(f, phaseWork)
			e.work.add(func() { e.adopt(f, rec, key) })
			return res, false, nil
		}
	}
	e.ask(f)
	return res, false, nil
}

// keep puts an entry among those that wait for something.
func (e *edge) keep(f *file, p phase) {
	e.mu.Lock()
	f.phase = p
	e.files[f.e.Number] = f
	e.mu.Unlock()
}

// ask asks the owner for the bytes of a file that are not here, unless it was
// given up or changed meanwhile.
func (e *edge) ask(f *file) {
	a := transfer.Answer{Entry: f.e.Number, Want: transfer.WantAll, Change: f.change}
	e.mu.Lock()
	f.phase = phaseWanted
	e.files[f.e.Number] = f
	if f.giveUp != nil || f.restart != nil {
		next := e.settle(f)
		e.mu.Unlock()
		next()
		return
	}
	if f.count > 0 {
		a.Want, a.Ranges = transfer.WantRanges, f.missing(e.opt.ChunkSize)
	}
	e.mu.Unlock()
	e.out.answer(a)
}

// publish hands an entry to the publisher.
func (e *edge) publish(f *file) {
	e.keep(f, phasePublish)
	e.pub.add(f)
}

// result makes the result of an entry that did not fail.
func (e *edge) result(f *file, o transfer.Outcome) transfer.Result {
	res := transfer.Result{Entry: f.e.Number, Kind: f.e.Kind, Outcome: o}
	if o == transfer.OutcomePublished {
		res.Change = f.change
	}
	if o != transfer.OutcomeSkipped && !e.opt.verify {
		res.Lost = f.attrs.lost
		res.Content = f.content
	}
	return res
}
