package receiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// Defaults of Config.
const (
	DefaultCredits    = 8192
	DefaultPartialTTL = 7 * 24 * time.Hour
	DefaultOrphanTTL  = 10 * time.Minute
	DefaultIncoming   = 64
)

// openTimeout bounds the wait for the first message of an edge.
const openTimeout = 10 * time.Second

// Config is what a Receiver works with.
type Config struct {
	Node    transfer.NodeID
	Exports func() *fsroot.Exports // the current ones; asked anew for each edge
	Store   *store.Store
	Pool    *bufpool.Pool // for comparing what is here
	// Acceptors are the transports that work here, by name, and Order their
	// names, best first.
	Acceptors map[string]transport.Acceptor
	Order     []string
	Log       *slog.Logger
	// Draining tells that the node takes no new transfers; those that have a
	// lock here go on. Nil: never.
	Draining func() bool
	// PartialTTL is how long partials, and the locks of paused transfers, are
	// kept. OrphanTTL is how long a lock stays without its owner.
	PartialTTL, OrphanTTL time.Duration
	Credits               uint64 // entries that an owner may have without a result
	MaxTemps              int    // open temporary files of large files, of one edge
	// MaxIncoming is how many edges of other nodes may be open at a time; one
	// more is refused with NODE_BUSY.
	MaxIncoming int
}

// Peer is the authenticated other end of a control stream.
type Peer struct {
	Node     transfer.NodeID // "" where it is not known: the owner's word is taken
	SameNode bool
}

// Receiver serves the edges that end at this node. It is safe for concurrent
// use.
type Receiver struct {
	cfg      Config
	slots    chan struct{} // for the open temporary files of all edges
	store    *store.Store
	t        tables
	log      *slog.Logger
	journals *journals
	names    publishLocks
	dirty    dirtyPages
	degraded degraded
	syncTemp func(*fsroot.File) error // another one in tests

	ctx  context.Context
	stop context.CancelCauseFunc
	wg   sync.WaitGroup // the sweeper and the edges

	// Of each file system one edge is opened at a time (locks), and at one place at a
	// time missing parents are made or those of others removed (see removal). Whoever
	// has both took opening first.
	opening, making deviceLocks
	taking          sync.Mutex // from the last look for a conflict to the lock; no I/O but of the state

	mu      sync.Mutex
	closed  bool
	locks   map[transfer.UID]*lock
	gone    map[transfer.UID]*letGo // of which the owner does not know
	edges   map[transfer.UID]*edge
	places  map[transfer.UID]int // edges that count towards MaxIncoming
	claimed map[string]bool      // partials that an edge is adopting
	refs    map[transfer.UID]int // partials in the index, by the journal they need
	// sweeping are the file systems that a sweep is in; swept is when epochs were last
	// looked through.
	sweeping map[uint64]bool
	swept    time.Time
}

var (
	errClosed     = &transfer.Error{Reason: transfer.NodeStopping, Side: transfer.SideTarget, Phase: transfer.PhaseConnect, Err: errors.New("the node is stopping")}
	errSuperseded = errors.New("a newer attempt of the transfer has begun")
)

// New recovers what an earlier life left (locks, partials, stray temps) and
// returns a Receiver. It keeps no goroutine of ctx; Close ends it.
func New(ctx context.Context, cfg Config) (*Receiver, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Credits == 0 {
		cfg.Credits = DefaultCredits
	}
	if cfg.MaxTemps <= 0 {
		cfg.MaxTemps = maxTemps
	}
	if cfg.MaxIncoming <= 0 {
		cfg.MaxIncoming = DefaultIncoming
	}
	if cfg.PartialTTL <= 0 {
		cfg.PartialTTL = DefaultPartialTTL
	}
	if cfg.OrphanTTL <= 0 {
		cfg.OrphanTTL = DefaultOrphanTTL
	}
	r := &Receiver{
		cfg: cfg, store: cfg.Store, t: newTables(cfg.Store), log: cfg.Log,
		journals: &journals{store: cfg.Store, open: map[transfer.UID]*journal{}},
		syncTemp: (*fsroot.File).Sync,
		locks:    map[transfer.UID]*lock{},
		gone:     map[transfer.UID]*letGo{},
		edges:    map[transfer.UID]*edge{},
		places:   map[transfer.UID]int{},
		claimed:  map[string]bool{},
		refs:     map[transfer.UID]int{},
		sweeping: map[uint64]bool{},
		slots:    nodeSlots(),
	}
	r.ctx, r.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	if err := r.recover(ctx); err != nil {
		r.stop(errClosed)
		return nil, fmt.Errorf("recover the target's state: %w", err)
	}
	r.wg.Go(r.sweeper)
	return r, nil
}

// Serve runs one edge: it reads Open from the link and returns after everything
// of the edge has ended and no byte of it can land any more. It closes the
// link. The error tells why the edge ended early; it is a transfer.Error where
// the owner was told.
func (r *Receiver) Serve(ctx context.Context, p Peer, link transfer.OwnerLink) error {
	defer link.Close()
	if !r.enter() {
		_ = link.Send(ctx, &transfer.Refused{Err: errClosed})
		return errClosed
	}
	defer r.wg.Done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(r.ctx, func() { cancel(context.Cause(r.ctx)) })()

	m, err := r.firstMessage(ctx, link)
	if err != nil {
		return err
	}
	leave, terr := r.takePlace(p, m)
	if terr != nil {
		_ = link.Send(ctx, &transfer.Refused{Err: terr})
		return terr
	}
	defer leave()
	e, opened, terr := r.open(running{ctx, cancel}, p, m)
	if terr != nil {
		_ = link.Send(ctx, &transfer.Refused{Err: terr})
		return terr
	}
	if e == nil { // validated only
		return link.Send(ctx, opened)
	}
	return e.serve(link, opened)
}

func (r *Receiver) firstMessage(ctx context.Context, link transfer.OwnerLink) (*transfer.Open, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	m, err := link.Recv(ctx)
	if err != nil {
		return nil, fmt.Errorf("receive the first message: %w", err)
	}
	open, ok := m.(*transfer.Open)
	if !ok {
		terr := &transfer.Error{Reason: transfer.ProtocolError, Side: transfer.SideTarget, Phase: transfer.PhaseConnect, Node: r.cfg.Node, Err: fmt.Errorf("the first message is %T", m)}
		_ = link.Send(ctx, &transfer.Refused{Err: terr})
		return nil, terr
	}
	return open, nil
}

func (r *Receiver) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.wg.Add(1)
	return true
}

// IncomingTransfer is a transfer that this node is the target of.
type IncomingTransfer struct {
	Owner     transfer.NodeID
	ID        string
	UID       transfer.UID
	Epoch     uint64
	Principal string
	Dest      string
	Since     time.Time
	Running   bool      // an edge is open
	Paused    bool      // by its owner
	OwnerLost time.Time // where no edge is open: since when
}

// Incoming lists the transfers that hold a destination here, by time.
func (r *Receiver) Incoming() []IncomingTransfer {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]IncomingTransfer, 0, len(r.locks))
	for _, l := range r.locks {
		in := IncomingTransfer{
			Owner: l.rec.Owner, ID: l.rec.ID, UID: l.rec.UID, Epoch: l.rec.Epoch, Principal: l.rec.Principal,
			Dest: string(l.rec.Dest), Since: l.rec.Since, Running: l.edge != nil, Paused: l.rec.Paused,
		}
		if l.edge == nil {
			in.OwnerLost = l.lost
		}
		list = append(list, in)
	}
	slices.SortFunc(list, func(a, b IncomingTransfer) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return slices.Compare(a.UID[:], b.UID[:])
	})
	return list
}

// Abandon gives up a transfer whose owner is lost: it fences the edge if there
// is one, removes temps and empty directories of its making, and frees the
// destination. Partials stay for a later run, as after a cancel. That is noted first:
// an owner that comes back is refused from then on, whatever it tries.
func (r *Receiver) Abandon(ctx context.Context, uid transfer.UID) error {
	unlock := r.lockTransfer(uid)
	if unlock == nil {
		return &transfer.Error{Reason: transfer.TransferNotFound, Side: transfer.SideTarget, Node: r.cfg.Node, Err: fmt.Errorf("no transfer %s ends here", uid)}
	}
	defer unlock()
	if err := r.noteLetGo(ctx, uid, true); err != nil {
		return r.destError(err, transfer.PhaseConnect, "")
	}
	if err := r.endEdge(ctx, uid, errAbandoned); err != nil {
		return err
	}
	if !r.holds(uid) { // the edge took everything with it
		return nil
	}
	return r.dropTransfer(ctx, uid, false)
}

// endEdge ends the running edge of a transfer and waits for it.
func (r *Receiver) endEdge(ctx context.Context, uid transfer.UID, cause error) error {
	r.mu.Lock()
	e := r.edges[uid]
	r.mu.Unlock()
	if e == nil {
		return nil
	}
	e.cancel(cause)
	select {
	case <-e.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends all edges, keeping locks and partials, and waits for them. It is
// idempotent. The store stays open.
func (r *Receiver) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.stop(errClosed)
	r.wg.Wait()
	return nil
}
