package receiver

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/xferd/xferd/internal/failpoint"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/transfer"
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
	if t == nil || t.f == nil || t.at < 0 || f.extents < 2 || f.count == 0 || t.lies || f.giveUp != nil || f.restart != nil {
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
	_ = t.close()
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
		r.dropJournal(replaced[i].UID, nil) // it may have been needed for that alone
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
	failpoint.Hit("receiver/partial-unlinked")
	if err := r.removeAround(key, rec.Dev); err != nil {
		return err
	}
	failpoint.Hit("receiver/partial-forget")
	return r.forgetPartial(ctx, key, rec)
}

// dropOutdated removes the partials that earlier attempts of a finished transfer kept
// and none went on from: they are of versions that its source no longer has.
func (e *edge) dropOutdated(ctx context.Context) error {
	r, uid := e.r, e.m.UID
	r.mu.Lock()
	none := r.refs[uid] <= 0
	r.mu.Unlock()
	if none {
		return nil
	}
	return r.t.partials.All(func(key string, rec partialRecord) error {
		if rec.UID != uid || !r.claim(key) {
			return nil
		}
		defer r.unclaim(key)
		r.unlinkTemp(string(rec.Dir), rec.Temp, rec.Ino)
		return e.inherit(ctx, key, &rec)
	})
}

// inherit takes a partial out of the index, without its file. The directories that go
// with it are from then on as if this transfer had made them: they stay with what it
// copies, and go when it comes to nothing (P6).
func (e *edge) inherit(ctx context.Context, key string, rec *partialRecord) error {
	defer e.r.making.lock(rec.Dev)()
	now, _, err := e.r.t.partials.Get(key) // others may have left it theirs
	if err != nil {
		return err
	}
	for _, dir := range slices.Backward(now.MadeDirs) { // as they are made
		if _, err := e.journal.append(frameDir, appendString(nil, string(dir))); err != nil {
			return err
		}
	}
	if len(now.MadeDirs) > 0 {
		if err := e.journal.sync(ctx); err != nil {
			return err
		}
	}
	return e.r.forgetPartial(ctx, key, rec)
}

// removeAround removes the directories that go with a partial, which lies in the file
// system dev.
func (r *Receiver) removeAround(key string, dev uint64) error {
	removal := r.newRemoval(transfer.UID{}, key)
	err := removal.enter(dev)
	rec, _, e := r.t.partials.Get(key) // as it is now: others may have left it theirs
	if err = errors.Join(err, e); err != nil {
		return errors.Join(err, removal.end())
	}
	for _, dir := range rec.MadeDirs {
		_ = removal.dir(string(dir)) // one that is not empty, or gone, stays as it is
	}
	return removal.end()
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
