package receiver

import (
	"sync"
	"time"

	"github.com/xferd/xferd/transfer"
)

// mayBeginAnew says whether a file failed so that a fresh attempt may mend it, which
// it gets once: it could not be written or synced, for an I/O error. A sync alone is
// not tried again, since it may succeed without the bytes.
func (e *edge) mayBeginAnew(f *file, err *transfer.Error) bool {
	if f.retried || !ioError(err) || e.busy.Err() != nil {
		return false
	}
	switch f.task {
	case taskFile:
		return e.m.Again && f.extents > 0
	case taskEmpty, taskSymlink, taskSpecial:
		return true // all of it is known here
	}
	return false
}

func ioError(err *transfer.Error) bool {
	return err.Reason == transfer.DestIOError && err.Side == transfer.SideTarget && err.Phase == transfer.PhaseWrite
}

// anew drops what is here of a file, and asks the owner for all of it once more. It
// reports whether it did; nobody else uses f. The owner begins the entry anew, which
// is a restart; what comes of the old one until then goes with its temp.
func (e *edge) anew(f *file, err *transfer.Error) bool {
	if !e.mayBeginAnew(f, err) {
		return false
	}
	if d, derr := e.dirs.get(f.dir); derr == nil {
		e.degrade(d, err)
		d.Close()
	}
	if f.task != taskFile {
		e.makeAgain(f, err)
		return true
	}
	e.dropTemp(f)
	e.mu.Lock()
	if f.left {
		e.mu.Unlock()
		return false // the owner gave it up meanwhile
	}
	f.reset()
	f.retried, f.giveUp, f.phase = true, nil, phaseWanted
	if f.restart != nil { // it begins anew already
		next := e.settle(f)
		e.mu.Unlock()
		next()
		return true
	}
	e.mu.Unlock()
	e.log.Warn("a file could not be written or synced: it is asked for once more", "name", transfer.EscapePath(f.name), "error", err)
	e.out.answer(transfer.Answer{Entry: f.e.Number, Want: transfer.WantAgain, Change: f.change})
	return true
}

// makeAgain publishes once more what needs no bytes of the owner. The temp of the
// batch before is gone.
func (e *edge) makeAgain(f *file, err *transfer.Error) {
	e.mu.Lock()
	f.retried, f.temp = true, nil
	e.mu.Unlock()
	e.log.Warn("an entry could not be made or synced: it is made once more", "name", transfer.EscapePath(f.name), "error", err)
	e.pub.add(f)
}

// Degraded is a file system on which a write or a sync failed.
type Degraded struct {
	Dir   string // one of its directories
	Since time.Time
	Err   error // the first failure
}

// degraded are the file systems on which a write or a sync failed with an I/O error,
// by device, until all that was written there by a batch was synced.
type degraded struct {
	mu  sync.Mutex
	all map[uint64]Degraded
}

// Degraded returns the file systems of destinations that failed lately.
func (r *Receiver) Degraded() (list []Degraded) {
	r.degraded.mu.Lock()
	defer r.degraded.mu.Unlock()
	for _, d := range r.degraded.all {
		list = append(list, d)
	}
	return list
}

// degrade notes that the file system of a directory fails, if err says so.
func (e *edge) degrade(d heldDir, err *transfer.Error) {
	if !ioError(err) {
		return
	}
	g := &e.r.degraded
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.all[d.id.dev]; known {
		return
	}
	if g.all == nil {
		g.all = map[uint64]Degraded{}
	}
	g.all[d.id.dev] = Degraded{Dir: d.Path(), Since: time.Now(), Err: err}
	e.r.log.Error("the file system of a destination fails: look at its disk", "dir", d.Path(), "error", err)
}

// clear notes that a file system took what was written to it.
func (g *degraded) clear(r *Receiver, dev uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	was, ok := g.all[dev]
	if !ok {
		return
	}
	delete(g.all, dev)
	r.log.Info("the file system of a destination takes data again", "dir", was.Dir, "failed_for", time.Since(was.Since).Round(time.Second))
}
