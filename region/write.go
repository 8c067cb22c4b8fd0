package region

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/xferd/xferd/internal/store"
)

// WriteRequest says what somebody wants to write.
type WriteRequest struct {
	Principal, ID string
	Ranges        []Range // in any order; disjoint
	Transfer      string  // its name, for people
}

// Writing is the right to write ranges of a region until Close. Nobody else may
// write them meanwhile.
type Writing struct {
	access
	req     WriteRequest
	ranges  ranges
	told    ranges // what events say of them
	key     string // of its record
	writing bool   // open, since Write or Again; guarded by g.mu
	touched atomic.Bool
	closed  bool // guarded by g.mu
}

// Write opens ranges to be written for a principal. That is durable when it returns:
// should this process die, the ranges are torn. Nothing of it may be written before.
// Errors: ErrNotFound, ErrDenied (the principal may only read), ErrRange, ErrBusy
// with the holder where ranges are open that overlap, ErrDetached, ErrGone,
// ErrQuarantined, those of the store.
func (r *Registry) Write(ctx context.Context, req WriteRequest) (_ *Writing, err error) {
	defer func() { r.stats.refuse(err) }()
	g, err := r.find(req.Principal, req.ID)
	if err != nil {
		return nil, err
	}
	list, err := checkRanges(req.Ranges, g.spec.Size)
	if err != nil {
		err.(*Error).ID = req.ID
		return nil, err
	}
	w := &Writing{access: access{g: g}, req: req, ranges: list, key: joinKey(req.ID, r.number.Add(1)), writing: true}
	w.told = slices.Clone(list.atMost(MaxEventRanges)) // events outlive what there may be more of
	w.req.Ranges = nil                                 // the caller's
	if err := g.begin(w); err != nil {
		return nil, err
	}
	if err := g.recordWrite(ctx, w); err != nil {
		_ = w.Close()
		return nil, err
	}
	return w, nil
}

func (g *region) begin(w *Writing) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.req.Principal != "" && !g.spec.mayWrite(w.req.Principal) {
		return &Error{Kind: ErrDenied, ID: g.spec.ID, Err: errors.New("it may be read alone")}
	}
	if err := g.usable(false); err != nil {
		return err
	}
	for other := range g.open {
		if other.ranges.overlap(w.ranges) {
			return &Error{Kind: ErrBusy, ID: g.spec.ID, Holder: other.req.Transfer,
				Err: errors.New("a range of it is being written by " + orUnknown(other.req.Transfer))}
		}
	}
	g.open[w] = struct{}{}
	g.begun++
	g.use()
	g.tell()
	return nil
}

func orUnknown(transfer string) string {
	if transfer == "" {
		return "somebody else"
	}
	return transfer
}

// recordWrite makes an open write durable, and a ceiling that is well above the
// generation.
func (g *region) recordWrite(ctx context.Context, w *Writing) error {
	g.mu.Lock()
	low := g.ceiling-g.generation.Load() < generationStep/2
	g.mu.Unlock()
	if low {
		if err := g.raise(); err != nil {
			return err
		}
	}
	row := openRecord{Ranges: w.ranges.atMost(maxStored), Transfer: w.req.Transfer}
	return g.r.cfg.Store.Update(ctx, func(tx *store.Tx) error { return g.r.writes.Put(tx, w.key, row) })
}

// Touched tells that bytes of the ranges may be other ones from now on: without a
// Commit they are torn.
func (w *Writing) Touched() { w.touched.Store(true) }

// Commit is what became whole.
type Commit struct {
	Transfer string // its name; empty: that of the request
	Digest   [16]byte
	Bytes    int64
}

// Commit says that the ranges are whole, all of them. The generation rises, and
// whoever waits is told. Nothing may be written any more, until Again. Errors:
// ErrClosed where the ranges are not open, ErrGone, ErrQuarantined, those of the
// store.
func (w *Writing) Commit(c Commit) (generation uint64, err error) {
	g := w.g
	for {
		g.mu.Lock()
		if err := w.usable(true); err != nil {
			g.mu.Unlock()
			return 0, err
		}
		if g.generation.Load()+1 < g.ceiling {
			break
		}
		g.mu.Unlock()
		if err := g.raise(); err != nil {
			return 0, err
		}
	}
	defer g.mu.Unlock()
	if c.Transfer == "" {
		c.Transfer = w.req.Transfer
	}
	if g.torn.overlap(w.ranges) {
		g.torn = g.torn.minus(w.ranges)
		g.tears++
	}
	w.writing = false
	w.touched.Store(false)
	generation = g.generation.Add(1)
	g.r.stats.commits.Add(1)
	g.r.stats.written.Add(c.Bytes)
	g.tell()
	g.changed(Event{
		Kind: Committed, Ranges: w.told, More: len(w.ranges) > len(w.told), Digest: c.Digest, Bytes: c.Bytes, Transfer: c.Transfer, Principal: w.req.Principal,
	})
	return generation, nil
}

// raise stores a higher ceiling.
func (g *region) raise() error {
	g.storing.Lock()
	defer g.storing.Unlock()
	g.mu.Lock()
	rec := g.record()
	rec.Ceiling += generationStep
	g.mu.Unlock()
	err := g.store(context.Background(), rec, g.r.cfg.Store.UpdateReserved)
	if err == nil {
		g.mu.Lock()
		g.ceiling = rec.Ceiling
		g.mu.Unlock()
	}
	return err
}

// usable: the caller holds g.mu.
func (w *Writing) usable(writing bool) error {
	if err := w.g.usable(false); err != nil {
		return err
	}
	if w.closed || w.writing != writing {
		return &Error{Kind: ErrClosed, ID: w.g.spec.ID, Err: errors.New("the ranges are not open, or open already")}
	}
	return nil
}

// Again opens the ranges once more after a Commit: it costs neither a sync nor a
// system call that waits. Errors: ErrGone, ErrQuarantined, ErrClosed.
func (w *Writing) Again() error {
	w.g.mu.Lock()
	defer w.g.mu.Unlock()
	if err := w.usable(false); err != nil {
		return err
	}
	w.writing = true
	w.g.begun++
	w.g.tell()
	return nil
}

// Close gives the ranges up: nothing may write them any more. If they are open and
// were touched, they are torn from now on. It waits for the store; idempotent.
func (w *Writing) Close() (err error) {
	w.once.Do(func() {
		err = w.g.close(w)
		w.release()
	})
	return err
}

func (g *region) close(w *Writing) error {
	g.mu.Lock()
	if w.writing && w.touched.Load() {
		g.torn = g.torn.plus(w.ranges)
		g.tears++
		g.r.stats.torn.Add(1)
	}
	w.closed, w.writing = true, false
	delete(g.open, w)
	g.tell()
	same := g.tears == g.stored && len(g.stale) == 0
	if !same {
		g.stale = append(slices.Clone(g.stale), w.key)
	}
	g.mu.Unlock()
	if !same {
		g.storing.Lock()
		defer g.storing.Unlock()
		g.mu.Lock()
		rec := g.record()
		g.mu.Unlock()
		return g.store(context.Background(), rec, g.r.cfg.Store.UpdateReserved)
	}
	// Nothing but the row changes: writes of one region need not wait for each other.
	err := g.r.cfg.Store.UpdateReserved(context.Background(), func(tx *store.Tx) error { return g.r.writes.Delete(tx, w.key) })
	if err != nil {
		g.mu.Lock()
		g.stale = append(slices.Clone(g.stale), w.key) // with the next change; until then a crash tears it
		g.mu.Unlock()
	}
	return err
}

// joinKey makes the key of an open write; an id has no slash.
func joinKey(id string, n uint64) string { return id + "/" + strconv.FormatUint(n, 16) }

func cutKey(key string) (id, n string, ok bool) { return strings.Cut(key, "/") }
