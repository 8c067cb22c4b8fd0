package receiver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/xferd/xferd/internal/failpoint"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/transfer"
)

// recover brings what an earlier life left into order. No edge runs yet.
//
// Of each temp that a journal names and that was neither committed nor settled:
// if it is gone, the rename has happened, or somebody intervened; either way
// there is nothing to do, and the owner, which was not told, finds out when it
// compares. If it is still there, the rename has not happened and will not: a
// small file is removed and sent again, a large one with landed extents goes
// into the index of partials. No final name is touched (P5).
func (r *Receiver) recover(ctx context.Context) error {
	now := time.Now()
	err := r.t.locks.All(func(_ string, rec lockRecord) error {
		l := newLock(rec, now)
		l.earlier = true
		// Devices have other numbers after a restart of the machine.
		if where, ok := r.find(&rec, l.held, true); ok {
			l.where = where
		}
		r.locks[rec.UID] = l
		return nil
	})
	if err != nil {
		return err
	}
	if err := r.recoverLetGo(); err != nil {
		return err
	}
	err = r.t.partials.All(func(_ string, rec partialRecord) error {
		r.refs[rec.UID]++
		return nil
	})
	if err != nil {
		return err
	}
	uids, err := r.store.LogUIDs(store.Target)
	if err != nil {
		return err
	}
	for _, s := range uids {
		var uid transfer.UID
		if err := uid.UnmarshalText([]byte(s)); err != nil {
			continue // not of our making
		}
		if err := r.recoverTransfer(ctx, uid); err != nil {
			return fmt.Errorf("transfer %s: %w", uid, err)
		}
		failpoint.Hit("receiver/recovered")
		r.dropJournal(uid, nil)
	}
	return nil
}

func (r *Receiver) recoverTransfer(ctx context.Context, uid transfer.UID) error {
	j, err := r.journals.get(uid, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer j.Close()
	s := newScan()
	if err := j.log.Read(0, s.frame); err != nil {
		return err
	}
	all := append(s.left, s.take()...)
	if len(all) == 0 {
		return nil
	}
	recs := map[string]partialRecord{}
	for i := range all {
		r.recoverTemp(uid, &all[i], recs)
		failpoint.Hit("receiver/recover-temp")
	}
	if err := r.indexPartials(ctx, recs); err != nil {
		return err
	}
	failpoint.Hit("receiver/recover-indexed")
	if _, err := j.append(frameSettled, nil); err != nil {
		return err
	}
	return j.sync(ctx)
}

// leftTemp is a temp that was not settled.
type leftTemp struct {
	tempFrame
	small   bool
	landed  int // extents
	at      int64
	attempt attemptFrame
}

func (r *Receiver) recoverTemp(uid transfer.UID, t *leftTemp, recs map[string]partialRecord) {
	if t.small || t.landed == 0 {
		r.unlinkTemp(t.Dir, t.Name, t.Ino)
		return
	}
	// One that was to be taken over and still has its old name is what the index
	// says it is, and stays so.
	there := false
	err := r.inDir(t.Dir, func(d *fsroot.Dir) error {
		info, err := d.Lstat(t.Name)
		there = err == nil && info.Kind == fsroot.Regular && info.Ino == t.Ino && info.Dev == t.Dev
		return err
	})
	if err != nil && !fsMissing(err) {
		r.log.Warn("look for a temporary file", "dir", t.Dir, "name", t.Name, "error", err)
	}
	if !there {
		return
	}
	source := transfer.NodeID(t.attempt.Source)
	recs[partialKey(t.Dir, t.Final, source, t.Print)] = partialRecord{
		Dir: []byte(t.Dir), Final: []byte(t.Final), Temp: t.Name, Dev: t.Dev, Ino: t.Ino, Source: source,
		Print: t.Print, ChunkSize: t.attempt.ChunkSize, UID: uid, At: t.at, Kept: time.Now(),
	}
}

// scan gathers the unsettled temps of a journal.
type scan struct {
	attempt attemptFrame
	open    map[uint64]*leftTemp // of the attempt that is being read
	left    []leftTemp           // of attempts before it
}

func newScan() *scan { return &scan{open: map[uint64]*leftTemp{}} }

// take returns the temps of the attempt that was read.
func (s *scan) take() []leftTemp {
	list := make([]leftTemp, 0, len(s.open))
	for _, t := range s.open {
		list = append(list, *t)
	}
	clear(s.open)
	return list
}

func (s *scan) frame(off int64, typ uint8, payload []byte) (err error) {
	switch typ {
	case frameAttempt:
		s.left = append(s.left, s.take()...)
		s.attempt, err = decodeAttempt(payload)
		return err
	case frameTemps, frameCommitting:
		names := tempNames{prefix: s.attempt.Temps}
		return decodeTemps(payload, func(t smallTemp) {
			if have := s.open[t.Entry]; have != nil && typ == frameCommitting {
				if t.Ino != 0 {
					have.Ino = t.Ino
				}
				return
			}
			s.open[t.Entry] = &leftTemp{
				tempFrame: tempFrame{Entry: t.Entry, Name: names.name(t.Temp), Ino: t.Ino, Dir: t.Dir, Final: t.Final},
				small:     true, attempt: s.attempt,
			}
		})
	case frameTemp:
		t := &leftTemp{at: off, attempt: s.attempt}
		t.tempFrame, err = decodeTemp(payload)
		s.open[t.Entry] = t
		return err
	case frameLanded:
		return decodeLanded(payload, func(l landedExtent) {
			if t := s.open[l.Entry]; t != nil {
				t.landed++
			}
		})
	case frameVoid:
		// The temp may be there still: it was voided before it was removed.
		return decodeNumbers(payload, func(n uint64) {
			if t := s.open[n]; t != nil {
				t.landed = 0
				s.left = append(s.left, *t)
				delete(s.open, n)
			}
		})
	case frameCommitted:
		return decodeNumbers(payload, func(n uint64) { delete(s.open, n) })
	case frameSettled:
		clear(s.open)
		s.left = nil
	}
	return nil
}
