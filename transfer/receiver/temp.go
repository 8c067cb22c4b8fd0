package receiver

import (
	"context"
	"errors"
	"syscall"

	"github.com/xferd/xferd/internal/failpoint"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// nextTemp returns the number of the next temporary name.
func (e *edge) nextTemp() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tempSeq++
	return e.tempSeq
}

// ensureTemp makes the temporary file of a large file, in the directory of the
// final name so that the rename is one. It is in the journal by its name before it
// is made, and with its inode before any byte is in it. Space is reserved, except for sparse files,
// so that a full file system is found now. The caller holds a write lease. It waits
// a while when too many are open.
func (e *edge) ensureTemp(ctx context.Context, f *file) (*temp, error) {
	f.tempMu.Lock()
	defer f.tempMu.Unlock()
	if f.temp != nil {
		return f.temp, nil
	}
	d, err := e.dirs.get(f.dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	t := &temp{num: e.nextTemp(), born: e.fsErrors.seen()}
	t.name = e.temps.name(t.num)
	if err := e.slots.take(ctx); err != nil {
		return nil, &fsroot.PathError{Op: "open one more temporary file for", Path: joinPath(d.Path(), f.name), Err: err}
	}
	// By its name before it is made, so that a crash leaves none that nobody knows.
	named := []smallTemp{{Entry: f.e.Number, Dir: d.Path(), Temp: t.num, Final: f.name}}
	if err = e.note(ctx, frameTemps, appendTemps(nil, named)); err == nil {
		t.f, err = d.Create(t.name, 0o600)
	}
	if err != nil {
		e.slots.give()
		return nil, err
	}
	failpoint.Hit("receiver/temp-created")
	t.slot = &e.slots
	if err := e.prepareTemp(ctx, f, t, d); err != nil {
		_ = t.close()
		_ = d.Unlink(t.name)
		return nil, err
	}
	e.mu.Lock()
	f.temp = t
	e.mu.Unlock()
	return t, nil
}

func (e *edge) prepareTemp(ctx context.Context, f *file, t *temp, d heldDir) error {
	info, err := t.f.Info()
	if err != nil {
		return err
	}
	t.id = fileID{info.Dev, info.Ino}
	rec := tempFrame{Entry: f.e.Number, Name: t.name, Dev: info.Dev, Ino: info.Ino, Dir: d.Path(), Final: f.name, Print: f.e.Print}
	err = e.hold(ctx, func() (err error) {
		t.at, err = e.journal.append(frameTemp, rec.append(nil))
		return err
	})
	if err != nil {
		return err
	}
	failpoint.Hit("receiver/temp-recorded")
	if f.e.Flags&transfer.EntrySparse == 0 {
		if reserved, err := reserve(t.f, d, f.e.Size); reserved || err != nil {
			return err
		}
	}
	return t.f.Truncate(f.e.Size)
}

const tmpfsMagic = 0x01021994

// reserve takes the space of a file. On tmpfs it only looks whether there is
// enough: taking it would clear every page on one core before the first byte
// may land.
func reserve(f *fsroot.File, d heldDir, size int64) (done bool, err error) {
	s, err := d.Statfs()
	if err != nil {
		return false, err
	}
	if s.Type == tmpfsMagic {
		if s.Total > 0 && s.FreeBytes < size {
			return false, &fsroot.PathError{Op: "reserve space for", Path: f.Path(), Err: syscall.ENOSPC}
		}
		return false, nil
	}
	err = f.Allocate(0, size)
	if errors.Is(err, fsroot.ErrUnsupported) {
		return false, nil
	}
	return err == nil, err
}

// dropTemp removes the temporary file of an entry that nobody writes to. Only
// the name that this edge made or took over is removed, never a final one.
func (e *edge) dropTemp(f *file) {
	e.mu.Lock()
	t := f.temp
	f.temp = nil
	e.mu.Unlock()
	if t == nil {
		return
	}
	_ = t.close()
	if t.at >= 0 {
		// Before the name goes: a reader must not take what landed for what is
		// there. An error shows again, where it matters.
		_, _ = e.journal.append(frameVoid, appendNumbers(nil, []uint64{f.e.Number}))
	}
	failpoint.Hit("receiver/temp-voided")
	d, err := e.dirs.get(f.dir)
	if err != nil {
		e.log.Warn("temporary file stays", "name", t.name, "error", err)
		return
	}
	defer d.Close()
	if err := d.Unlink(t.name); err != nil && !fsMissing(err) {
		e.log.Warn("temporary file stays", "dir", d.Path(), "name", t.name, "error", err)
	}
}

// dropLeases forgets the extents that were on their way when the data plane was
// fenced: no stream will tell about them any more.
func (e *edge) dropLeases() {
	var next []func()
	e.mu.Lock()
	for _, f := range e.files {
		if f.writers == 0 {
			continue
		}
		f.writers = 0
		clear(f.inflight)
		next = append(next, e.settle(f))
	}
	e.mu.Unlock()
	for _, n := range next {
		n()
	}
}
