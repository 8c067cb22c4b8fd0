package region

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/xferd/xferd/internal/store"
)

// Config of a Registry. Store and Log are required.
type Config struct {
	Store *store.Store
	Log   *slog.Logger
	// Boot names this run of the kernel; memory of another one is gone for sure.
	Boot string
	// Memory is how many bytes all regions have at most, PerPrincipal those of one
	// owner, Count how many regions there are. 0: no limit.
	Memory, PerPrincipal int64
	Count                int
}

// Registry has the regions of a node. Its methods may be called concurrently.
type Registry struct {
	cfg    Config
	table  *store.Table[record]
	writes *store.Table[openRecord]
	number atomic.Uint64 // of open writes
	stats  counters

	mu      sync.Mutex // taken before that of a region
	regions map[string]*region
	closed  bool
	bytes   int64
	owned   map[string]int64 // bytes by owner

	wake chan struct{} // a lease ends sooner than Run knows
	next atomic.Int64  // when Run looks at the leases next, in Unix nanoseconds
}

// region is one of them.
type region struct {
	r       *Registry
	uid     [16]byte
	created time.Time
	revoked chan struct{} // closed when it begins to end
	ended   chan struct{} // closed when it is gone or quarantined

	generation atomic.Uint64
	first      uint64 // generation when this process began

	mu       sync.Mutex
	spec     Spec // ID and Principal do not change
	state    State
	detail   string
	ceiling  uint64 // durable
	memory   identity
	mem      *mapping // nil while detached
	page     *notice  // for programs; nil until the first attached
	users    int      // readings and writings
	open     map[*Writing]struct{}
	begun    uint64 // writes that were opened, since this process began
	torn     ranges
	tears    uint64   // changes of torn
	stored   uint64   // of these, what the record has
	stale    []string // rows of writes that are over, to be removed with the record's next change
	conns    map[*attachment]struct{}
	expires  time.Time // zero while somebody is attached
	pinned   int64
	history  history
	storing  sync.Mutex // one change of the record at a time; taken before mu
	finished bool       // nothing of it is left
}

func (g *region) init() {
	g.revoked, g.ended = make(chan struct{}), make(chan struct{})
	g.open, g.conns = map[*Writing]struct{}{}, map[*attachment]struct{}{}
}

// Open loads the regions of a node. Close it. Errors: those of the store.
func Open(_ context.Context, cfg Config) (*Registry, error) {
	r := &Registry{
		cfg: cfg, table: store.NewTable[record](cfg.Store, "regions"), writes: store.NewTable[openRecord](cfg.Store, "region-writes"),
		regions: map[string]*region{}, owned: map[string]int64{}, wake: make(chan struct{}, 1),
	}
	r.number.Store(cfg.Store.Incarnation() << 32) // keys of an earlier process may be there
	if err := r.load(); err != nil {
		return nil, fmt.Errorf("regions: %w", err)
	}
	return r, nil
}

// count adds a region to the sums, or takes it away. The caller holds r.mu, or
// nobody else has the registry.
func (r *Registry) count(g *region, sign int64) {
	r.bytes += sign * g.spec.Size
	if r.owned[g.spec.Principal] += sign * g.spec.Size; r.owned[g.spec.Principal] == 0 {
		delete(r.owned, g.spec.Principal)
	}
}

// Create makes a region and, unless it is foreign, its memory: all pages are there
// when it returns, which takes some tenths of a second per GiB; the end of ctx ends
// it. The lease begins then.
// Errors: ErrInvalid, ErrExists (also of a region that the caller may not see),
// ErrBudget, ErrNoMemory, ErrUnsupported (huge pages or NUMA), those of the store.
func (r *Registry) Create(ctx context.Context, s Spec) (info Info, err error) {
	defer func() { r.stats.refuse(err) }()
	if err := s.check(); err != nil {
		return Info{}, err
	}
	s.Readers, s.Writers, s.Labels = slices.Clone(s.Readers), slices.Clone(s.Writers), maps.Clone(s.Labels)
	g := &region{r: r, spec: s, state: Detached, created: time.Now().UTC(), ceiling: generationStep}
	if _, err := rand.Read(g.uid[:]); err != nil {
		return Info{}, err
	}
	g.init()
	// Before anybody knows of it: a deletion takes the record away after it was stored.
	g.storing.Lock()
	defer g.storing.Unlock()
	// Whoever asks for it in the meantime finds it detached.
	if err := r.reserve(g); err != nil {
		return Info{}, err
	}
	var mem *mapping
	if !s.Foreign {
		if mem, err = newMemory(ctx, s); err != nil {
			r.forget(g)
			return Info{}, err
		}
	}
	g.mu.Lock() // others can see it already
	if mem != nil {
		g.memory = mem.identity(r.cfg.Boot)
	}
	rec := g.record()
	g.mu.Unlock()
	// It was worth the time: the memory is not thrown away for a caller that left now.
	if err := g.store(context.WithoutCancel(ctx), rec, r.cfg.Store.Update); err != nil {
		mem.close()
		r.forget(g)
		return Info{}, err
	}
	g.mu.Lock()
	if err := g.usable(true); err != nil { // it was deleted meanwhile
		g.mu.Unlock()
		mem.close()
		return Info{}, err
	}
	defer g.mu.Unlock()
	if mem != nil {
		g.place(mem)
	}
	g.lease()
	return g.info(), nil
}

// reserve takes the name and what the region needs of the budgets.
func (r *Registry) reserve(g *region) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := g.spec
	over := func(format string, args ...any) error {
		return &Error{Kind: ErrBudget, ID: s.ID, Err: fmt.Errorf(format, args...)}
	}
	switch own := r.owned[s.Principal]; {
	case r.closed:
		return &Error{Kind: ErrClosed, ID: s.ID}
	case r.regions[s.ID] != nil:
		return &Error{Kind: ErrExists, ID: s.ID}
	case r.cfg.Count > 0 && len(r.regions) >= r.cfg.Count:
		return over("there are %d regions on this node, as many as may be", len(r.regions))
	case r.cfg.Memory > 0 && s.Size > r.cfg.Memory-r.bytes:
		return over("%d bytes are asked for, and %d of %d are left on this node", s.Size, max(r.cfg.Memory-r.bytes, 0), r.cfg.Memory)
	case r.cfg.PerPrincipal > 0 && s.Size > r.cfg.PerPrincipal-own:
		return over("%d bytes are asked for, and %d of %d are left for %s", s.Size, max(r.cfg.PerPrincipal-own, 0), r.cfg.PerPrincipal, s.Principal)
	}
	r.regions[s.ID] = g
	r.count(g, 1)
	return nil
}

// forget undoes reserve. The caller holds g.storing.
func (r *Registry) forget(g *region) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.regions[g.spec.ID] == g {
		delete(r.regions, g.spec.ID)
		r.count(g, -1)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state = Deleting
	if !g.finished {
		g.finished = true
		close(g.ended)
	}
}

// find returns a region that the principal may know of; the empty one may know of
// all. Others are ErrNotFound.
func (r *Registry) find(principal, id string) (*region, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.regions[id]
	if g == nil {
		return nil, &Error{Kind: ErrNotFound, ID: id}
	}
	if principal != "" {
		g.mu.Lock() // rights may change
		defer g.mu.Unlock()
		if !g.spec.mayRead(principal) {
			return nil, &Error{Kind: ErrNotFound, ID: id}
		}
	}
	return g, nil
}

// Get returns a region that the principal may read; the empty one is an
// administrator, who sees all. Errors: ErrNotFound.
func (r *Registry) Get(principal, id string) (Info, error) {
	g, err := r.find(principal, id)
	if err != nil {
		return Info{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.info(), nil
}

// List returns at most limit regions that the principal may read, by id, that come
// after the id after. limit 0 is all of them.
func (r *Registry) List(principal, after string, limit int) []Info {
	r.mu.Lock()
	var all []*region
	for id, g := range r.regions {
		if id > after {
			all = append(all, g)
		}
	}
	r.mu.Unlock()
	slices.SortFunc(all, func(a, b *region) int { return cmp.Compare(a.spec.ID, b.spec.ID) })
	var out []Info
	for _, g := range all {
		if limit > 0 && len(out) == limit {
			break
		}
		g.mu.Lock()
		if principal == "" || g.spec.mayRead(principal) {
			out = append(out, g.info())
		}
		g.mu.Unlock()
	}
	return out
}

// Change is what Update changes; nil is left as it is.
type Change struct {
	Labels           *map[string]string
	Readers, Writers *[]string
	TTL              *time.Duration
}

// Update changes a region for its owner (or an administrator, the empty principal),
// and renews its lease. Without a Change it does only that. Errors: ErrNotFound (also
// for those who may only read or write), ErrGone, ErrQuarantined, ErrInvalid, those
// of the store.
func (r *Registry) Update(ctx context.Context, principal, id string, c Change) (Info, error) {
	g, err := r.findOwned(principal, id)
	if err != nil {
		return Info{}, err
	}
	g.storing.Lock()
	defer g.storing.Unlock()
	g.mu.Lock()
	if err := g.usable(true); err != nil {
		g.mu.Unlock()
		return Info{}, err
	}
	s := g.spec
	if c.Labels != nil {
		s.Labels = maps.Clone(*c.Labels)
	}
	if c.Readers != nil {
		s.Readers = slices.Clone(*c.Readers)
	}
	if c.Writers != nil {
		s.Writers = slices.Clone(*c.Writers)
	}
	if c.TTL != nil {
		s.TTL = *c.TTL
	}
	if err := s.check(); err != nil {
		g.mu.Unlock()
		return Info{}, err
	}
	rec := g.record()
	rec.Readers, rec.Writers, rec.Labels, rec.TTL = s.Readers, s.Writers, s.Labels, s.TTL
	g.mu.Unlock()
	if c.Labels != nil || c.Readers != nil || c.Writers != nil || c.TTL != nil {
		if err := g.store(ctx, rec, r.cfg.Store.Update); err != nil {
			return Info{}, err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.usable(true); err != nil { // it began to end meanwhile: nothing was renewed
		return Info{}, err
	}
	g.spec.Readers, g.spec.Writers, g.spec.Labels, g.spec.TTL = s.Readers, s.Writers, s.Labels, s.TTL
	g.lease()
	return g.info(), nil
}

// findOwned returns a region whose owner the principal is.
func (r *Registry) findOwned(principal, id string) (*region, error) {
	g, err := r.find(principal, id)
	if err == nil && principal != "" && g.spec.Principal != principal {
		return nil, &Error{Kind: ErrNotFound, ID: id}
	}
	return g, err
}

// usable returns why a region can not be used. detached ones can be, where the
// caller says so. The caller holds g.mu.
func (g *region) usable(detached bool) error {
	switch {
	case g.state == Quarantined:
		return &Error{Kind: ErrQuarantined, ID: g.spec.ID, Err: errors.New(g.detail)}
	case g.state == Deleting:
		return &Error{Kind: ErrGone, ID: g.spec.ID}
	case g.state == Detached && !detached:
		return &Error{Kind: ErrDetached, ID: g.spec.ID}
	}
	return nil
}
