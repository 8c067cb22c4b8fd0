package receiver

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// findPartial looks for what an earlier edge left of the same version of the
// same file for the same name, and claims it: one edge adopts it at a time.
func (e *edge) findPartial(f *file) (rec partialRecord, key string, ok bool, err error) {
	d, err := e.dirs.get(f.dir)
	if err != nil {
		return rec, "", false, err
	}
	dir := d.Path()
	d.Close()
	key = partialKey(dir, f.name, e.m.Owner, f.e.Print)
	rec, ok, err = e.r.t.partials.Get(key)
	if err != nil {
		return rec, "", false, stateError(err)
	}
	if !ok || !rec.is(dir, f.name, e.m.Owner, f.e.Print) {
		return rec, "", false, nil
	}
	if !e.r.claim(key) {
		return rec, "", false, nil
	}
	e.mu.Lock()
	e.claims = append(e.claims, key)
	e.mu.Unlock()
	return rec, key, true, nil
}

func (r *Receiver) claim(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.claimed[key] {
		return false
	}
	r.claimed[key] = true
	return true
}

func (r *Receiver) unclaim(keys ...string) {
	r.mu.Lock()
	for _, key := range keys {
		delete(r.claimed, key)
	}
	r.mu.Unlock()
}

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
	h, err := d.OpenWrite(rec.Temp)
	if err != nil {
		return err
	}
	t := &temp{f: h, num: e.nextTemp()}
	t.name = e.temps.name(t.num)
	if err := e.takeOver(f, rec, key, t, d); err != nil {
		h.Close()
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
	if err := d.Rename(rec.Temp, d.Dir, t.name, true); err != nil {
		return err
	}
	if err := e.r.forgetPartial(context.WithoutCancel(e.ctx), key, rec); err != nil {
		e.cancel(err)
	}
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
	err = e.hashExtents(e.busy, t.f, f.e.Size, have, func(i int64, own transport.Digest) {
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

// keepPartials puts the files that an ending edge has part of into the index,
// in one transaction. Everything else that it has begun is removed. The data
// plane is fenced and nobody publishes any more.
func (e *edge) keepPartials(ctx context.Context) error {
	recs := map[string]partialRecord{}
	var drop []*file
	e.mu.Lock()
	files := make([]*file, 0, len(e.files))
	for _, f := range e.files {
		files = append(files, f)
	}
	e.mu.Unlock()
	for _, f := range files {
		key, rec, ok := e.partialOf(f)
		if !ok {
			drop = append(drop, f)
			continue
		}
		recs[key] = rec
	}
	for _, f := range drop {
		e.dropTemp(f)
	}
	if len(recs) == 0 {
		return nil
	}
	if err := e.findMadeDirs(recs); err != nil {
		return err
	}
	if err := e.journal.sync(ctx); err != nil {
		return err
	}
	return e.r.indexPartials(ctx, recs)
}

// partialOf says whether a file is worth keeping: more than one chunk, at least
// one of them here.
func (e *edge) partialOf(f *file) (key string, rec partialRecord, ok bool) {
	t := f.temp
	if t == nil || t.f == nil || t.at < 0 || f.extents < 2 || f.count == 0 || f.giveUp != nil || f.restart != nil {
		return "", rec, false
	}
	d, err := e.dirs.get(f.dir)
	if err != nil {
		return "", rec, false
	}
	defer d.Close()
	rec = partialRecord{
		Dir: []byte(d.Path()), Final: []byte(f.name), Temp: t.name, Dev: t.id.dev, Ino: t.id.ino,
		Source: e.m.Owner, Print: f.e.Print, ChunkSize: e.opt.ChunkSize, UID: e.m.UID, At: t.at, Kept: time.Now(),
	}
	if !e.opt.digests() {
		// Nothing else vouches for the bytes after a crash.
		rec.Synced = t.f.Sync() == nil
	}
	t.f.Close()
	return partialKey(d.Path(), f.name, e.m.Owner, f.e.Print), rec, true
}

func (r *Receiver) indexPartials(ctx context.Context, recs map[string]partialRecord) error {
	var replaced []partialRecord
	err := r.store.UpdateReserved(ctx, func(tx *store.Tx) error {
		replaced = replaced[:0]
		for key, rec := range recs {
			old, ok, err := r.t.partials.GetTx(tx, key)
			if err != nil {
				return err
			}
			if ok {
				replaced = append(replaced, old)
			}
			if err := r.t.partials.Put(tx, key, rec); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	for _, rec := range recs {
		r.refs[rec.UID]++
	}
	for _, old := range replaced {
		r.refs[old.UID]--
	}
	r.mu.Unlock()
	for i := range replaced {
		if !sameTemp(&replaced[i], recs) {
			r.unlinkTemp(string(replaced[i].Dir), replaced[i].Temp, replaced[i].Ino)
		}
	}
	return nil
}

func sameTemp(old *partialRecord, recs map[string]partialRecord) bool {
	for _, rec := range recs {
		if rec.Dev == old.Dev && rec.Ino == old.Ino {
			return true
		}
	}
	return false
}

// forgetPartial takes a partial out of the index, without its file.
func (r *Receiver) forgetPartial(ctx context.Context, key string, rec *partialRecord) error {
	err := r.store.UpdateReserved(ctx, func(tx *store.Tx) error { return r.t.partials.Delete(tx, key) })
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.refs[rec.UID]--
	r.mu.Unlock()
	r.dropJournal(rec.UID, nil)
	return nil
}

// dropPartial removes a partial, its file, and the directories of its
// transfer's making that are empty then.
func (r *Receiver) dropPartial(ctx context.Context, key string, rec *partialRecord) error {
	r.unlinkTemp(string(rec.Dir), rec.Temp, rec.Ino)
	for _, dir := range rec.MadeDirs {
		if err := r.removeDir(string(dir)); err != nil {
			break
		}
	}
	return r.forgetPartial(ctx, key, rec)
}

// dropJournal removes the logs of a transfer that nothing needs any more. self
// is the edge that asks, if it is the transfer's own.
func (r *Receiver) dropJournal(uid transfer.UID, self *edge) {
	r.journals.mu.Lock() // what makes a journal needed is set under it
	defer r.journals.mu.Unlock()
	r.mu.Lock()
	_, locked := r.locks[uid]
	other := r.edges[uid] != nil && r.edges[uid] != self
	used := locked || other || r.refs[uid] > 0
	if r.refs[uid] <= 0 {
		delete(r.refs, uid)
	}
	r.mu.Unlock()
	if used {
		return
	}
	if err := r.journals.remove(uid); err != nil {
		r.log.Warn("remove journal", "uid", uid, "error", err)
	}
}

// unlinkTemp removes a temporary file by its recorded name, if it is the file
// that was recorded (ino 0: the name alone is the proof, nobody guesses it).
func (r *Receiver) unlinkTemp(dir, name string, ino uint64) {
	err := r.inDir(dir, func(d *fsroot.Dir) error {
		info, err := d.Lstat(name)
		if err != nil {
			return err
		}
		if info.Kind == fsroot.Directory || ino != 0 && info.Ino != ino {
			return nil
		}
		return d.Unlink(name)
	})
	if err != nil && !fsMissing(err) && !errors.Is(err, fs.ErrNotExist) {
		r.log.Warn("temporary file stays", "dir", dir, "name", name, "error", err)
	}
}

// removeDir removes a directory of our making if it is empty.
func (r *Receiver) removeDir(path string) error {
	return r.inDir(parentPath(path), func(d *fsroot.Dir) error { return d.Rmdir(baseOf(path)) })
}

// inDir opens a directory of the exports by its absolute path.
func (r *Receiver) inDir(path string, fn func(*fsroot.Dir) error) error {
	root, rel, err := r.cfg.Exports().Resolve(path, true)
	if err != nil {
		return err
	}
	d, err := root.OpenDir(rel)
	if err != nil {
		return err
	}
	defer d.Close()
	return fn(d)
}

func parentPath(path string) string {
	if p := parentOf(path); p != "" {
		return p
	}
	return "/"
}
