package receiver

import (
	"context"
	"sync"
	"time"

	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/transfer"
)

// lock is a destination lock in memory, beside its record.
type lock struct {
	rec  lockRecord
	held map[string]bool // rec.Names
	// where is what it covers as this life of the daemon found it.
	where cover
	edge  *edge     // the running one, or nil
	lost  time.Time // since when there is none; monotonic
	// left says that its transfer has removed the directories that it made, and takes
	// over no others; see removal.
	left bool
	// earlier says that the transfer was here in an earlier life of the daemon.
	earlier bool
}

func newLock(rec lockRecord, now time.Time) *lock {
	held := nameSet(rec.Names)
	return &lock{rec: rec, held: held, where: cover{root: rec.Root, names: held}, lost: now}
}

// find looks for the destination where it is now.
func (r *Receiver) find(o *lockRecord, held map[string]bool, deletes bool) (cover, bool) {
	root, rel, err := r.cfg.Exports().Resolve(string(o.Dest), true)
	if err != nil {
		return cover{}, false
	}
	c, err := newCover(root, rel, held, deletes)
	return c, err == nil
}

// takeLock stores the lock and the epoch of an edge in one transaction, or says
// who is in the way. The destination is locked by lockDest: nobody else opens one of
// its file system meanwhile.
func (r *Receiver) takeLock(ctx context.Context, m *transfer.Open, c *cover) *transfer.Error {
	if terr := r.conflict(m, c, true); terr != nil {
		return terr
	}
	over := r.overtaken(m.UID, c)
	r.taking.Lock()
	defer r.taking.Unlock()
	// One of another file system may have come.
	if terr := r.conflict(m, c, false); terr != nil {
		return terr
	}
	rec := lockRecord{
		Owner: m.Owner, ID: m.ID, UID: m.UID, StateUUID: m.StateUUID, Epoch: m.Epoch, Principal: m.Principal,
		Dest: []byte(m.Dest), DestMode: m.DestMode, Root: c.root, Deletes: m.Options.Delete, Since: time.Now(),
	}
	if c.names != nil {
		rec.Names = m.Names
	}
	earlier := false
	r.mu.Lock()
	if old := r.locks[m.UID]; old != nil {
		rec.Since, earlier = old.rec.Since, old.earlier
	}
	r.mu.Unlock()
	var taken []letGoRecord
	err := r.store.Update(ctx, func(tx *store.Tx) (err error) {
		if err := r.t.locks.Put(tx, m.UID.String(), rec); err != nil {
			return err
		}
		if taken, err = r.putTaken(tx, &rec, over); err != nil {
			return err
		}
		return r.t.epochs.Put(tx, epochKey(m.StateUUID, m.UID), epochRecord{Epoch: m.Epoch, Seen: time.Now()})
	})
	if err != nil {
		return r.storeRefusal(err)
	}
	r.journals.mu.Lock() // see dropJournal
	r.mu.Lock()
	l := newLock(rec, time.Now())
	l.where, l.earlier = *c, earlier
	r.locks[m.UID] = l
	for i, g := range over {
		g.rec.TakenBy, g.rec.Taken = taken[i].TakenBy, taken[i].Taken // the rest never changes
	}
	delete(r.gone, m.UID)
	r.mu.Unlock()
	r.journals.mu.Unlock()
	return nil
}

// conflict looks for a holder in the way: one that covers the same, or what it
// covers and the other one are nested and one of the two deletes. With look,
// holders of the same file system are resolved again: what they made since may be what
// the new one points at. Those of others are not, since theirs may not answer; without
// look there is no I/O at all.
func (r *Receiver) conflict(m *transfer.Open, c *cover, look bool) *transfer.Error {
	if !look {
		c = c.known()
	}
	r.mu.Lock()
	var others []lock
	for uid, l := range r.locks {
		if uid != m.UID {
			others = append(others, lock{rec: l.rec, held: l.held, where: l.where})
		}
	}
	r.mu.Unlock()
	for i := range others {
		o := &others[i].rec
		deletes := o.Deletes || m.Options.Delete
		where := &others[i].where
		covers := []cover{{root: o.Root, names: others[i].held}, *where.known()}
		if look && where.near(c) {
			if now, ok := r.find(o, others[i].held, deletes); ok {
				covers = append(covers, now)
			}
		}
		for k := range covers {
			name, ok := c.meets(&covers[k], deletes)
			switch {
			case !ok:
			case name != "" && c.names != nil:
				return o.busy(r.cfg.Node, joinPath(m.Dest, name), name)
			default:
				return o.busy(r.cfg.Node, m.Dest, name)
			}
		}
	}
	return nil
}

// checkEpoch refuses an edge that is not newer than the newest seen.
func (r *Receiver) checkEpoch(m *transfer.Open) *transfer.Error {
	rec, ok, err := r.t.epochs.Get(epochKey(m.StateUUID, m.UID))
	if err != nil {
		return r.storeRefusal(err)
	}
	if ok && m.Epoch <= rec.Epoch {
		return r.stale(m.Epoch, rec.Epoch)
	}
	return nil
}

// setPaused notes in the lock that the owner paused the transfer.
func (r *Receiver) setPaused(ctx context.Context, uid transfer.UID) error {
	r.mu.Lock()
	l := r.locks[uid]
	if l == nil {
		r.mu.Unlock()
		return nil
	}
	l.rec.Paused = true
	rec := l.rec
	r.mu.Unlock()
	return r.store.UpdateReserved(ctx, func(tx *store.Tx) error { return r.t.locks.Put(tx, uid.String(), rec) })
}

// unlock drops the lock of a transfer.
func (r *Receiver) unlock(ctx context.Context, uid transfer.UID) error {
	err := r.store.UpdateReserved(ctx, func(tx *store.Tx) error { return r.t.locks.Delete(tx, uid.String()) })
	if err != nil {
		return err
	}
	r.mu.Lock()
	delete(r.locks, uid)
	r.mu.Unlock()
	return nil
}

// publishLocks keep two edges with overlapping roots from changing one name at
// the same time: the last commit wins, whole.
type publishLocks [256]sync.Mutex

// of returns the lock of one name in a directory; other names may share it.
func (p *publishLocks) of(dir fileID, name string) *sync.Mutex {
	h := dir.ino*0x9e3779b97f4a7c15 ^ dir.dev
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 0x9e3779b97f4a7c15
	}
	return &p[h>>56]
}
