package receiver

import (
	"context"

	"github.com/xferd/xferd/internal/failpoint"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// landSmall writes the small files of a chunk, each from memory into a temp of
// its own, in the goroutine of the stream: several streams do it at once. The
// temps are in the journal, with one write, before the first is made. They need
// no record of what landed: a small file that is not published is sent again.
func (s *sink) landSmall(ctx context.Context, small []int, arrivals []transport.Arrival, verdicts []transport.Verdict) {
	files := make([]*file, len(small))
	rec := make([]smallTemp, len(small))
	s.mu.Lock()
	for k, i := range small {
		files[k] = s.files[arrivals[i].Entry]
		s.tempSeq++
		rec[k] = smallTemp{Entry: arrivals[i].Entry, Temp: s.tempSeq, Final: files[k].name}
	}
	s.mu.Unlock()
	dirs := dirRun{cache: s.dirs}
	defer dirs.close()
	for k, f := range files {
		if d, err := dirs.get(f.dir); err == nil {
			rec[k].Dir = d.Path()
		}
	}
	err := s.note(ctx, frameTemps, appendTemps(nil, rec))
	if err != nil {
		s.cancel(err)
	}
	ready := make([]*file, 0, len(small))
	for k, i := range small {
		f, a := files[k], &arrivals[i]
		if err != nil {
			verdicts[i] = transport.Verdict{Code: transport.Unknown, Err: err}
			s.endLease(f, &a.ExtentHeader, nil)
			continue
		}
		t, werr := s.writeSmall(&dirs, f, rec[k].Temp, a)
		if werr != nil {
			terr := s.entryFailure(werr, transfer.PhaseWrite, &f.e)
			verdicts[i] = transport.Verdict{Code: transport.Refused, Err: terr}
			s.endLease(f, &a.ExtentHeader, func() { s.doom(f, terr) })
			continue
		}
		if s.landedSmall(f, t, a) {
			ready = append(ready, f)
		}
	}
	if len(ready) > 0 {
		s.pub.add(ready...)
		s.pub.wait(ctx)
	}
}

// dirRun keeps the directory that was used last: the files of a pack come
// directory by directory.
type dirRun struct {
	cache *dirCache
	num   uint64
	dir   heldDir
}

func (r *dirRun) get(num uint64) (heldDir, error) {
	if r.dir.Dir != nil && r.num == num {
		return r.dir, nil
	}
	r.close()
	d, err := r.cache.get(num)
	if err == nil {
		r.num, r.dir = num, d
	}
	return d, err
}

func (r *dirRun) close() {
	if r.dir.Dir != nil {
		r.dir.Close()
		r.dir.Dir = nil
	}
}

// writeSmall makes the temp of one small file with all that is to be in it. On
// an error nothing is left.
func (s *sink) writeSmall(dirs *dirRun, f *file, num uint64, a *transport.Arrival) (*temp, error) {
	d, err := dirs.get(f.dir)
	if err != nil {
		return nil, err
	}
	t := &temp{num: num, name: s.temps.name(num), at: -1, born: s.fsErrors.seen()}
	failpoint.Hit("receiver/small-create")
	if t.f, err = d.Create(t.name, 0o600); err != nil {
		return nil, err
	}
	failpoint.Hit("receiver/small-created")
	if err = s.fillSmall(f, t, a); err != nil {
		t.f.Close()
		_ = d.Unlink(t.name)
		return nil, err
	}
	failpoint.Hit("receiver/small-filled")
	return t, nil
}

func (s *sink) fillSmall(f *file, t *temp, a *transport.Arrival) error {
	mem := a.Mem
	end := int64(0)
	for _, seg := range a.Segments {
		if err := t.f.Pwrite(mem[:seg.Length], seg.Offset); err != nil {
			return err
		}
		mem, end = mem[seg.Length:], seg.End()
	}
	if end < f.e.Size { // it ends with a hole
		if err := t.f.Truncate(f.e.Size); err != nil {
			return err
		}
	}
	return s.finishTemp(f, t)
}

// finishTemp sets the metadata of a temp that has all its bytes. Where nothing
// is synced or read back, it is closed here: as few files as possible stay open.
func (e *edge) finishTemp(f *file, t *temp) (err error) {
	if t.lost, err = f.attrs.apply(t.f, true); err != nil {
		return err
	}
	t.meta = true
	if e.opt.durable() {
		info, err := t.f.Info()
		t.id = fileID{info.Dev, info.Ino}
		return err
	}
	if e.opt.Verify == transfer.VerifyStore || e.opt.Verify == transfer.VerifyMedia || e.opt.Digest != "" {
		return nil
	}
	err = t.f.Close()
	t.f = nil
	return err
}

// landedSmall ends the lease of a small file that is written. It says whether
// the file can be published.
func (s *sink) landedSmall(f *file, t *temp, a *transport.Arrival) bool {
	s.mu.Lock()
	f.temp = t
	f.inflight.clear(0)
	f.landed.set(0)
	f.digests[0], f.count = a.Digest, 1
	f.writers--
	f.done = f.done || a.Final
	ready := f.done && f.giveUp == nil && f.restart == nil && (f.digest.IsZero())
	next := func() {}
	if ready {
		f.phase = phasePublish
	} else {
		next = s.settle(f)
	}
	s.mu.Unlock()
	next()
	return ready
}
