package receiver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/transfer"
)

// letGoRecord is a transfer that this target let go of by itself: its owner said
// nothing and may come back. Its key is the transfer's uid, so that it holds for an
// owner with a restored state as well.
type letGoRecord struct {
	Lock      lockRecord // as it was
	Abandoned bool       // by a person; else it lapsed
	At        time.Time
	// TakenBy is the name of the first transfer that took the destination since, or one
	// that overlaps it; "" while nobody did.
	TakenBy string    `json:",omitempty"`
	Taken   time.Time `json:",omitzero"`
}

// letGo is a letGoRecord with what it covered, as this life of the daemon found it.
type letGo struct {
	rec   letGoRecord
	held  map[string]bool // rec.Lock.Names
	where cover
}

// letGoMemory is how long those are remembered, from when they were let go of or taken.
const letGoMemory = epochMemory

// noteLetGo stores that the target lets go of a transfer, before it does.
func (r *Receiver) noteLetGo(ctx context.Context, uid transfer.UID, abandoned bool) error {
	r.mu.Lock()
	l := r.locks[uid]
	if l == nil {
		r.mu.Unlock()
		return nil
	}
	g := letGo{rec: letGoRecord{Lock: l.rec, Abandoned: abandoned, At: time.Now()}, held: l.held, where: l.where}
	r.mu.Unlock()
	err := r.store.UpdateReserved(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		return r.t.letGo.Put(tx, uid.String(), g.rec)
	})
	if err != nil {
		return stateError(err)
	}
	r.mu.Lock()
	r.gone[uid] = &g
	r.mu.Unlock()
	return nil
}

// checkLetGo refuses a transfer that would land on what others have put there since
// this target let go of it.
func (r *Receiver) checkLetGo(m *transfer.Open) *transfer.Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.gone[m.UID]
	switch {
	case g == nil:
		return nil
	case g.rec.Abandoned:
		terr := r.refuse(transfer.Cancelled, m.Dest, fmt.Errorf("%w, on %s", errAbandoned, stamp(g.rec.At)))
		terr.Hint = "look who uses the destination now; running the same command again is another transfer"
		return terr
	case g.rec.TakenBy != "":
		terr := r.refuse(transfer.DestChanged, m.Dest, fmt.Errorf(
			"the owner did not come back in time, its hold on the destination lapsed on %s, and %s has taken it since, on %s",
			stamp(g.rec.At), g.rec.TakenBy, stamp(g.rec.Taken)))
		terr.Hint = "look at what that one copied; running the same command again replaces it"
		return terr
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// overtaken finds those that were let go of, have not been taken since, and overlap
// what a transfer is about to take. The destination is locked by lockDest.
func (r *Receiver) overtaken(uid transfer.UID, c *cover) (list []*letGo) {
	r.mu.Lock()
	var all []*letGo
	for u, g := range r.gone {
		if u != uid && !g.rec.Abandoned && g.rec.TakenBy == "" {
			all = append(all, g)
		}
	}
	r.mu.Unlock()
	for _, g := range all {
		covers := []cover{{root: g.rec.Lock.Root, names: g.held}, *g.where.known()}
		if g.where.near(c) {
			if now, ok := r.find(&g.rec.Lock, g.held, true); ok {
				covers = append(covers, now)
			}
		}
		for i := range covers {
			// As if one of them deleted: what is nested counts too.
			if _, ok := c.meets(&covers[i], true); ok {
				list = append(list, g)
				break
			}
		}
	}
	return list
}

// putTaken stores in the transaction of a lock that it takes over from those, and that
// its own transfer goes on if it had been let go of. It returns the new records. r.taking
// is held.
func (r *Receiver) putTaken(tx *store.Tx, rec *lockRecord, list []*letGo) ([]letGoRecord, error) {
	taken := make([]letGoRecord, len(list))
	for i, g := range list {
		taken[i] = g.rec
		if g.rec.TakenBy == "" { // one of another file system may have been first
			taken[i].TakenBy, taken[i].Taken = rec.name(), time.Now()
		}
		if err := r.t.letGo.Put(tx, g.rec.Lock.UID.String(), taken[i]); err != nil {
			return nil, err
		}
	}
	return taken, r.t.letGo.Delete(tx, rec.UID.String())
}

// forgetLetGo removes what was let go of long ago.
func (r *Receiver) forgetLetGo(now time.Time) error {
	var old []transfer.UID
	r.mu.Lock()
	for uid, g := range r.gone {
		if now.Sub(g.rec.At) >= letGoMemory && now.Sub(g.rec.Taken) >= letGoMemory {
			old = append(old, uid)
		}
	}
	r.mu.Unlock()
	if len(old) == 0 {
		return nil
	}
	err := r.store.UpdateReserved(r.ctx, func(tx *store.Tx) error {
		for _, uid := range old {
			if err := r.t.letGo.Delete(tx, uid.String()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, uid := range old {
		delete(r.gone, uid)
	}
	return nil
}

// recoverLetGo reads what earlier lives let go of.
func (r *Receiver) recoverLetGo() error {
	return r.t.letGo.All(func(_ string, rec letGoRecord) error {
		held := nameSet(rec.Lock.Names)
		g := &letGo{rec: rec, held: held, where: cover{root: rec.Lock.Root, names: held}}
		if where, ok := r.find(&rec.Lock, held, true); ok {
			g.where = where
		}
		r.gone[rec.Lock.UID] = g
		return nil
	})
}

var errAbandoned = errors.New("the transfer was abandoned here")
