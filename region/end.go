package region

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/xferd/xferd/internal/store"
)

// place gives a region its memory. The caller holds g.mu.
func (g *region) place(m *mapping) {
	g.mem, g.state = m, Ready
	g.tell()
	g.changed(Event{Kind: StateChanged})
}

// notices makes the notice page, if there is none: a region that nobody attached to
// needs neither a page nor a descriptor for it. It returns a descriptor for a program.
// The caller holds g.mu.
func (g *region) notices() (*os.File, error) {
	if g.page == nil {
		p, err := newNotice(g.spec.Size, g.first)
		if err != nil {
			return nil, fmt.Errorf("notice page: %w", err)
		}
		g.page = p
		g.tell()
	}
	return duplicate(g.page.f)
}

// tell brings the notice page up to date. The caller holds g.mu.
func (g *region) tell() {
	if g.page != nil {
		g.page.tell(g.generation.Load(), g.openWrites(), g.begun, len(g.torn), g.state)
	}
}

// openWrites counts those that may write now. The caller holds g.mu.
func (g *region) openWrites() int {
	n := 0
	for w := range g.open {
		if w.writing {
			n++
		}
	}
	return n
}

// Delete removes a region: it revokes its memory from whoever uses it, waits until
// they closed, and gives it back. Programs that are attached are told, and keep what
// they have mapped. Without force a region with transfers under way is refused with
// ErrBusy. The end of ctx ends the waiting, not the deletion. Errors: ErrNotFound
// (also for those who may only read or write), ErrQuarantined.
func (r *Registry) Delete(ctx context.Context, principal, id string, force bool) (err error) {
	defer func() { r.stats.refuse(err) }()
	g, err := r.findOwned(principal, id)
	if err != nil {
		return err
	}
	err = r.end(g, func() error {
		if g.users > 0 && !force {
			return &Error{Kind: ErrBusy, ID: id, Holder: g.holder(), Err: g.usedBy()}
		}
		return nil
	})
	if err != nil && !errors.Is(err, ErrGone) { // somebody else's deletion is waited for
		return err
	}
	select {
	case <-g.ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == Quarantined {
		return g.usable(true)
	}
	return nil
}

// holder names one of the transfers that write. The caller holds g.mu.
func (g *region) holder() string {
	for w := range g.open {
		if w.req.Transfer != "" {
			return w.req.Transfer
		}
	}
	return ""
}

// usedBy says who uses the memory. The caller holds g.mu.
func (g *region) usedBy() error {
	reads := g.users - len(g.open)
	switch name := orUnknown(g.holder()); {
	case len(g.open) > 0 && reads > 0:
		return fmt.Errorf("%s writes it, and others read it: %d", name, reads)
	case len(g.open) > 0:
		return fmt.Errorf("%s writes it", name)
	}
	return fmt.Errorf("transfers that read it: %d", reads)
}

// end begins the end of a region, and ends it if nobody uses it. may is asked under
// g.mu whether there is still a reason: nobody renews, attaches to, reads or writes the
// region between its answer and the end. Errors: that of may, ErrGone where the end
// had begun before, ErrQuarantined.
func (r *Registry) end(g *region, may func() error) error {
	g.mu.Lock()
	err := g.usable(true)
	if err == nil {
		err = may()
	}
	if err != nil {
		g.mu.Unlock()
		return err
	}
	g.state = Deleting
	g.expires = time.Time{}
	close(g.revoked)
	g.tell()
	g.changed(Event{Kind: StateChanged})
	g.hangUp()
	last := g.users == 0
	g.mu.Unlock()
	if last {
		r.finish(g)
	}
	return nil
}

// finish gives everything back. It is called once, by the one who saw that a region
// that is being deleted has no users any more: there can be no new ones.
func (r *Registry) finish(g *region) {
	g.storing.Lock()
	defer g.storing.Unlock()
	r.unstore(g)
	g.mu.Lock()
	mem, page := g.takeOut()
	g.mu.Unlock()
	mem.close()
	page.close()
	r.forget(g)
}

// unstore removes the record of a region. The caller holds g.storing.
func (r *Registry) unstore(g *region) {
	id := g.spec.ID
	r.mu.Lock()
	known := r.regions[id] == g
	r.mu.Unlock()
	if !known {
		return // it was never made: there is no record, or it is that of the next one of the name
	}
	g.mu.Lock()
	stale := g.stale
	g.mu.Unlock()
	err := r.cfg.Store.UpdateReserved(context.Background(), func(tx *store.Tx) error {
		for _, key := range stale {
			if err := r.writes.Delete(tx, key); err != nil {
				return err
			}
		}
		return r.table.Delete(tx, id)
	})
	if err != nil && !errors.Is(err, store.ErrClosed) {
		r.cfg.Log.Error("the record of a region could not be removed: it will be there again, detached, after a restart", "region", id, "err", err)
	}
}

// takeOut takes the memory out of a region that nobody uses. The caller holds g.mu, and
// closes both after it let go of that: giving back takes some tenths of a second per GiB,
// and whoever looks at all regions would wait.
func (g *region) takeOut() (mem *mapping, page *notice) {
	mem, page = g.mem, g.page
	g.mem, g.page = nil, nil
	return mem, page
}

// use counts who uses the memory. The caller holds g.mu.
func (g *region) use() { g.users++ }

// release is the end of a use.
func (r *Registry) release(g *region) {
	g.mu.Lock()
	g.users--
	last := g.users == 0 && g.state == Deleting
	g.mu.Unlock()
	if last {
		r.finish(g)
	}
}

// lease begins anew. The caller holds g.mu.
func (g *region) lease() {
	if len(g.conns) > 0 || g.state == Quarantined || g.state == Deleting {
		g.expires = time.Time{}
		return
	}
	g.expires = time.Now().Add(g.spec.TTL)
	r := g.r
	if next := r.next.Load(); g.expires.UnixNano() < next {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

const (
	// leaseRest is the shortest time between two looks at all leases: one may end so
	// much later.
	leaseRest = 100 * time.Millisecond
	leaseIdle = time.Hour
	endWidth  = 128 // regions that end at a time
)

// Run ends the leases that are over, until ctx ends.
func (r *Registry) Run(ctx context.Context) error {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		case <-r.wake:
			// Soon, and together with those that come until then.
			r.next.Store(0)
			t.Reset(leaseRest)
			continue
		}
		r.next.Store(math.MaxInt64) // who begins a lease now can not know whether it was seen
		next := r.expire(time.Now())
		r.next.Store(next.UnixNano())
		t.Reset(max(time.Until(next), leaseRest))
	}
}

var errRenewed = errors.New("the lease was renewed")

// expire ends the leases that are over, and returns when the next one is.
func (r *Registry) expire(now time.Time) time.Time {
	next := now.Add(leaseIdle)
	var over []*region
	r.mu.Lock()
	for _, g := range r.regions {
		g.mu.Lock()
		switch {
		case g.expires.IsZero():
		case !g.expires.After(now):
			over = append(over, g)
		case g.expires.Before(next):
			next = g.expires
		}
		g.mu.Unlock()
	}
	r.mu.Unlock()
	// Together: each changes the store, which makes one transaction of many.
	var ending errgroup.Group
	ending.SetLimit(endWidth)
	for _, g := range over {
		ending.Go(func() error {
			_ = r.end(g, func() error {
				if g.expires.IsZero() || g.expires.After(now) || len(g.conns) > 0 {
					return errRenewed
				}
				r.cfg.Log.Info("the lease of a region ended", "region", g.spec.ID, "owner", g.spec.Principal)
				r.stats.expired.Add(1)
				return nil
			})
			return nil
		})
	}
	_ = ending.Wait()
	return next
}

// Close gives back the memory of all regions; their records stay. Call it after
// Run returned and everybody who uses memory closed. Idempotent.
func (r *Registry) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	var all []*region
	for _, g := range r.regions {
		all = append(all, g)
	}
	r.mu.Unlock()
	for _, g := range all {
		var mem *mapping
		var page *notice
		g.mu.Lock()
		g.hangUp()
		if g.state == Ready && g.users == 0 {
			g.state = Detached
			g.tell()
			mem, page = g.takeOut()
		}
		g.mu.Unlock()
		mem.close()
		page.close()
	}
	return nil
}
