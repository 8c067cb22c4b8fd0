package receiver

import (
	"context"
	"errors"

	"github.com/xferd/xferd/internal/failpoint"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// adopt goes on with a partial: it re-hashes what the journal says has landed,
// takes the file over in a journaled step, and asks for the rest. A partial
// that cannot be used is removed, and the file is asked for as a whole.
func (e *edge) adopt(f *file, rec partialRecord, key string) {
	err := e.adoptPartial(f, &rec, key)
	if e.busy.Err() != nil && err != nil {
		return // the edge is ending: the partial stays as it is
	}
	if err != nil {
		e.log.Info("partial is not used", "dir", string(rec.Dir), "temp", rec.Temp, "error", err)
		e.mu.Lock()
		f.reset()
		e.mu.Unlock()
		if err := e.r.dropPartial(context.WithoutCancel(e.ctx), key, &rec); err != nil {
			e.log.Warn("remove partial", "temp", rec.Temp, "error", err)
		}
	}
	e.ask(f)
}

var errPartial = errors.New("the partial is not what the index says")

func (e *edge) adoptPartial(f *file, rec *partialRecord, key string) error {
	if rec.ChunkSize != e.opt.ChunkSize {
		return errors.New("it has another chunk size")
	}
	d, err := e.dirs.get(f.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := e.slots.take(e.busy); err != nil {
		return err
	}
	born := e.fsErrors.seen()
	h, err := d.OpenWrite(rec.Temp)
	if err != nil {
		e.slots.give()
		return err
	}
	t := &temp{f: h, num: e.nextTemp(), slot: &e.slots, born: born}
	t.name = e.temps.name(t.num)
	if err := e.takeOver(f, rec, key, t, d); err != nil {
		_ = t.close()
		return err
	}
	return nil
}

func (e *edge) takeOver(f *file, rec *partialRecord, key string, t *temp, d heldDir) error {
	info, err := t.f.Info()
	switch {
	case err != nil:
		return err
	case info.Dev != rec.Dev || info.Ino != rec.Ino || info.Size != f.e.Size || info.Nlink != 1:
		return errPartial
	}
	t.id = fileID{info.Dev, info.Ino}
	// A sync of it may have failed, and the node died of the same: then the page cache
	// still has what the disk refused, and no later sync says so.
	if err := errors.Join(t.f.Sync(), t.f.Uncache()); err != nil {
		return err
	}
	good, err := e.checkPartial(f, rec, t)
	if err != nil {
		return err
	}
	if len(good) == 0 {
		return errors.New("nothing of it is good")
	}
	// The journal first: whatever happens from here on, a restart finds the file
	// under one of the two names.
	own := tempFrame{Entry: f.e.Number, Name: t.name, OldName: rec.Temp, Dev: rec.Dev, Ino: rec.Ino, Dir: d.Path(), Final: f.name, Print: f.e.Print}
	if t.at, err = e.journal.append(frameTemp, own.append(nil)); err != nil {
		return err
	}
	for list := good; len(list) > 0; {
		n := min(len(list), maxLandedFrame)
		if _, err := e.journal.append(frameLanded, appendLanded(nil, list[:n])); err != nil {
			return err
		}
		list = list[n:]
	}
	if err := e.journal.sync(e.ctx); err != nil {
		return err
	}
	failpoint.Hit("receiver/adopt")
	if err := d.Rename(rec.Temp, d.Dir, t.name, true); err != nil {
		return err
	}
	failpoint.Hit("receiver/adopt-renamed")
	if err := e.inherit(context.WithoutCancel(e.ctx), key, rec); err != nil {
		e.cancel(err)
	}
	failpoint.Hit("receiver/adopted")
	e.mu.Lock()
	f.reset()
	f.begin()
	for i := range good {
		at := good[i].Offset / e.opt.ChunkSize
		f.landed.set(at)
		f.digests[at] = good[i].Digest
		f.resumed += good[i].Length
	}
	f.count = int64(len(good))
	f.temp = t
	e.mu.Unlock()
	e.log.Info("goes on with a partial", "path", joinPath(d.Path(), f.name), "bytes", f.resumed, "of", f.e.Size)
	return nil
}

// maxLandedFrame bounds the extents of one frame.
const maxLandedFrame = 4096

// checkPartial returns the extents that the journal names and that the file
// still has. What is not as it should be is made a hole again.
func (e *edge) checkPartial(f *file, rec *partialRecord, t *temp) ([]landedExtent, error) {
	digests, err := e.r.landedOf(rec, f.extents)
	if err != nil {
		return nil, err
	}
	have := func(i int64) bool {
		d, ok := digests[i]
		return ok && !(d.IsZero() && !rec.Synced)
	}
	good := make([]landedExtent, 0, len(digests))
	add := func(i int64, d transport.Digest) {
		x := transfer.ExtentRange(i, f.e.Size, e.opt.ChunkSize)
		good = append(good, landedExtent{Entry: f.e.Number, Offset: x.Offset, Length: x.Length, Digest: d})
	}
	buf, err := e.r.cfg.Pool.Get(e.busy, readBuffer)
	if err != nil {
		return nil, err
	}
	defer buf.Release()
	err = e.hashExtents(e.busy, buf.Bytes(), t.f, f.e.Size, have, func(i int64, own transport.Digest) {
		if d := digests[i]; d == own || d.IsZero() {
			add(i, d)
		}
	})
	if err != nil || f.e.Flags&transfer.EntrySparse == 0 {
		return good, err
	}
	return good, clearRest(t, f, e.opt.ChunkSize, good)
}

// clearRest makes holes of everything that is not in good: what is sent for it
// may be holes.
func clearRest(t *temp, f *file, chunkSize int64, good []landedExtent) error {
	at := int64(0)
	clear := func(end int64) error {
		if end <= at {
			return nil
		}
		if err := t.f.Punch(at, end-at); err != nil {
			return zero(t, at, end-at)
		}
		return nil
	}
	for i := range good {
		if err := clear(good[i].Offset); err != nil {
			return err
		}
		at = good[i].Offset + good[i].Length
	}
	return clear(f.e.Size)
}

// landedOf reads from a journal what landed in a partial.
func (r *Receiver) landedOf(rec *partialRecord, extents int64) (map[int64]transport.Digest, error) {
	j, err := r.journals.get(rec.UID, false)
	if err != nil {
		return nil, err
	}
	defer j.Close()
	var own tempFrame
	digests := map[int64]transport.Digest{}
	stop := errors.New("stop")
	err = j.log.Read(rec.At, func(off int64, typ uint8, payload []byte) (err error) {
		switch {
		case off == rec.At:
			if typ != frameTemp {
				return errPartial
			}
			own, err = decodeTemp(payload)
			return err
		case typ == frameAttempt:
			return stop // entries have other numbers from here on
		case typ == frameVoid:
			return decodeNumbers(payload, func(n uint64) {
				if n == own.Entry {
					clear(digests)
				}
			})
		case typ == frameLanded:
			return decodeLanded(payload, func(l landedExtent) {
				if i := l.Offset / rec.ChunkSize; l.Entry == own.Entry && i < extents {
					digests[i] = l.Digest
				}
			})
		}
		return nil
	})
	if err != nil && err != stop {
		return nil, err
	}
	if own.Ino != rec.Ino || own.Name != rec.Temp && own.OldName != rec.Temp {
		return nil, errPartial
	}
	return digests, nil
}
