package receiver

import (
	"errors"
	"sync"
	"time"

	"github.com/xferd/xferd/internal/store"
)

// sweeper lets orphaned locks lapse and old partials and epochs go.
func (r *Receiver) sweeper() {
	every := max(min(r.cfg.OrphanTTL, r.cfg.PartialTTL, time.Hour)/4, 10*time.Millisecond)
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-t.C:
		}
		r.wg.Go(func() { // it may wait for a file system that does not answer
			if err := r.sweep(time.Now()); err != nil && r.ctx.Err() == nil {
				r.log.Warn("sweep", "error", err)
			}
		})
	}
}

// old is what a sweep finds in one file system.
type old struct {
	locks    []lockRecord
	partials []string // keys
}

// sweep returns when all is gone that is too old, but for file systems that another
// sweep is in: one that does not answer is left to it.
func (r *Receiver) sweep(now time.Time) error {
	all, err := r.findOld(now)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	for dev, o := range all {
		r.mu.Lock()
		taken := r.sweeping[dev]
		r.sweeping[dev] = true
		r.mu.Unlock()
		if taken {
			continue
		}
		wg.Go(func() {
			err := r.sweepOne(o, now)
			r.mu.Lock()
			delete(r.sweeping, dev)
			r.mu.Unlock()
			mu.Lock()
			errs = append(errs, err)
			mu.Unlock()
		})
	}
	wg.Wait()
	r.mu.Lock()
	due := now.Sub(r.swept) >= time.Hour
	if due {
		r.swept = now
	}
	r.mu.Unlock()
	if due {
		errs = append(errs, r.forgetEpochs(now), r.forgetLetGo(now))
	}
	return errors.Join(errs...)
}

// findOld looks for what is too old, by the file system that it is in.
func (r *Receiver) findOld(now time.Time) (map[uint64]*old, error) {
	all := map[uint64]*old{}
	in := func(dev uint64) *old {
		if all[dev] == nil {
			all[dev] = &old{}
		}
		return all[dev]
	}
	r.mu.Lock()
	for _, l := range r.locks {
		if r.lapsed(l, now) {
			o := in(l.where.root.Dev)
			o.locks = append(o.locks, l.rec)
		}
	}
	r.mu.Unlock()
	err := r.t.partials.All(func(key string, rec partialRecord) error {
		if r.outdated(&rec, now) {
			o := in(rec.Dev)
			o.partials = append(o.partials, key)
		}
		return nil
	})
	return all, err
}

func (r *Receiver) outdated(rec *partialRecord, now time.Time) bool {
	return now.Sub(rec.Kept) >= r.cfg.PartialTTL
}

func (r *Receiver) sweepOne(o *old, now time.Time) error {
	var errs []error
	for i := range o.locks {
		errs = append(errs, r.lapse(&o.locks[i], now))
	}
	for _, key := range o.partials {
		if r.ctx.Err() != nil || !r.claim(key) {
			continue
		}
		rec, ok, err := r.t.partials.Get(key) // as it is now
		if ok && err == nil && r.outdated(&rec, now) {
			err = r.dropPartial(r.ctx, key, &rec)
		}
		r.unclaim(key)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// lapsed says whether a lock has been without its owner for too long. r.mu is held.
func (r *Receiver) lapsed(l *lock, now time.Time) bool {
	ttl := r.cfg.OrphanTTL
	if l.rec.Paused {
		ttl = max(ttl, r.cfg.PartialTTL)
	}
	return l.edge == nil && now.Sub(l.lost) >= ttl
}

// lapse drops a transfer whose lock has lapsed, unless its owner came back meanwhile.
func (r *Receiver) lapse(rec *lockRecord, now time.Time) error {
	unlock := r.lockTransfer(rec.UID)
	if unlock == nil {
		return nil
	}
	defer unlock()
	r.mu.Lock()
	l := r.locks[rec.UID]
	still := l != nil && r.lapsed(l, now)
	r.mu.Unlock()
	if !still {
		return nil
	}
	r.log.Warn("the owner did not come back: its destination is free again", "transfer", rec.name(), "dest", string(rec.Dest))
	if err := r.noteLetGo(r.ctx, rec.UID, false); err != nil {
		return err
	}
	return r.dropTransfer(r.ctx, rec.UID, false)
}

// forgetEpochs removes the epochs of transfers that ended long ago.
func (r *Receiver) forgetEpochs(now time.Time) error {
	var keys []string
	err := r.t.epochs.All(func(key string, rec epochRecord) error {
		if now.Sub(rec.Seen) >= epochMemory {
			keys = append(keys, key)
		}
		return nil
	})
	if err != nil || len(keys) == 0 {
		return err
	}
	return r.store.UpdateReserved(r.ctx, func(tx *store.Tx) error {
		for _, key := range keys {
			if err := r.t.epochs.Delete(tx, key); err != nil {
				return err
			}
		}
		return nil
	})
}
