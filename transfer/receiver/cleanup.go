package receiver

import (
	"context"
	"errors"
	"io/fs"

	"github.com/xferd/xferd/internal/failpoint"
	"github.com/xferd/xferd/transfer"
)

// madeDirs calls yield for the directories that a journal says its transfer
// made, the last one first. It keeps 8 bytes for each.
func (j *journal) madeDirs(yield func(path string) error) error {
	var offs []int64
	not := map[string]int{}
	err := j.log.Read(0, func(off int64, typ uint8, payload []byte) error {
		switch typ {
		case frameDir:
			offs = append(offs, off)
		case frameDirNot:
			r := frameReader{b: payload}
			not[r.string()]++
			return r.end()
		case frameDirsOver:
			offs = offs[:0]
			clear(not)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := len(offs) - 1; i >= 0; i-- {
		_, payload, err := j.log.ReadAt(offs[i], nil)
		if err != nil {
			return err
		}
		r := frameReader{b: payload}
		path := r.string()
		if err := r.end(); err != nil {
			return err
		}
		if not[path] > 0 {
			not[path]--
			continue
		}
		if err := yield(path); err != nil {
			return err
		}
	}
	return nil
}

// removeMadeDirs removes the directories that a transfer made and that are
// empty (P6), and leaves to others what they use of them. Afterwards none of them is
// its own any more, and its lock is dropped next.
func (r *Receiver) removeMadeDirs(uid transfer.UID) error {
	j, err := r.journals.get(uid, false)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	defer j.Close()
	removal := r.newRemoval(uid, "")
	if dev, ok := r.deviceOf(uid); ok {
		// Whoever leaves something to this transfer has done so, or will not.
		err = removal.enter(dev)
	}
	r.mu.Lock()
	if l := r.locks[uid]; l != nil {
		l.left = true
	}
	r.mu.Unlock()
	if err == nil {
		err = j.madeDirs(func(path string) error {
			_ = removal.dir(path) // one that is not empty, or gone, stays as it is
			failpoint.Hit("receiver/dir-removed")
			return nil
		})
	}
	if err = errors.Join(err, removal.end()); err != nil {
		return err
	}
	_, err = j.append(frameDirsOver, nil)
	return err
}

// findMadeDirs notes in each partial which directories above it were made by
// this transfer: they go with the partial, if they are empty then.
func (e *edge) findMadeDirs(recs map[string]partialRecord) error {
	made := map[string]bool{} // that a partial lies in
	for _, rec := range recs {
		for p := string(rec.Dir); p != "" && p != "/"; p = parentOf(p) {
			made[p] = false
		}
	}
	err := e.journal.madeDirs(func(path string) error {
		if _, ok := made[path]; ok {
			made[path] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	for key, rec := range recs {
		for p := string(rec.Dir); made[p]; p = parentOf(p) {
			rec.MadeDirs = append(rec.MadeDirs, []byte(p))
		}
		recs[key] = rec
	}
	return nil
}

// dropTransfer forgets a transfer that has no edge: its lock, its empty
// directories and, with purge, its partials.
func (r *Receiver) dropTransfer(ctx context.Context, uid transfer.UID, purge bool) error {
	ctx = context.WithoutCancel(ctx)
	if purge {
		if err := r.purge(ctx, uid); err != nil {
			return err
		}
	}
	if err := r.removeMadeDirs(uid); err != nil {
		r.log.Warn("remove empty directories", "uid", uid, "error", err)
	}
	if err := r.unlock(ctx, uid); err != nil {
		return err
	}
	r.dropJournal(uid, nil)
	return nil
}

// purge removes the partials of a transfer.
func (r *Receiver) purge(ctx context.Context, uid transfer.UID) error {
	return r.t.partials.All(func(key string, rec partialRecord) error {
		if rec.UID != uid || !r.claim(key) {
			return nil
		}
		defer r.unclaim(key)
		return r.dropPartial(ctx, key, &rec)
	})
}
