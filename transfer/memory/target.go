// Package memory is the target's end of edges into memory regions: it opens the
// ranges that a transfer writes, has the data plane put the bytes where they belong,
// and commits the ranges when all of them are there.
//
// It keeps no journal: an edge that ends before its commit leaves ranges that are
// torn, and the next attempt sends everything again. It knows no package region and
// no concrete transport. Files are package receiver's.
//
// What it promises: the ranges are given up, and the owner is told that the edge is
// over, only after the fence of the data plane. Memory that could not be fenced is
// quarantined.
package memory

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/xferd/xferd/internal/epoch"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// DefaultIncoming is how many edges of other nodes may be open at a time.
const DefaultIncoming = 64

// openTimeout bounds the wait for the first message of an edge.
const openTimeout = 10 * time.Second

// Request says what an edge wants to write.
type Request struct {
	Principal, ID string
	Ranges        []transport.Range // ascending and disjoint
	Transfer      string            // its name, for people
}

// Commit says what became whole.
type Commit struct {
	Digest transport.Digest
	Bytes  int64
}

// Regions are the regions of this node.
type Regions interface {
	// Write opens ranges to be written by one edge alone. It may wait for the store.
	// Errors are *transfer.Error.
	Write(ctx context.Context, r Request) (Writing, error)
}

// Writing is ranges that are open to be written.
type Writing interface {
	Memory() []byte // of the whole region; it stays mapped until Close
	// Revoked is closed when the region is about to end.
	Revoked() <-chan struct{}
	// Pinned tells that devices have registered so many bytes of it more, or
	// (negative) less.
	Pinned(delta int64)
	// Touched: bytes may land from now on, so without a Commit the ranges are torn.
	Touched()
	// Commit: all of the ranges are whole. It returns the region's new generation.
	// Errors are *transfer.Error.
	Commit(c Commit) (generation uint64, err error)
	// Again opens the ranges once more after a Commit. It does not wait for anything.
	Again() error
	// Quarantine: the memory could not be fenced, so bytes may still land in it.
	// Close follows all the same.
	Quarantine(cause error)
	// Close gives the ranges up. It may wait for the store; idempotent.
	Close() error
}

// Config is what a Target works with.
type Config struct {
	Node        transfer.NodeID
	Incarnation uint64
	Regions     Regions
	// Acceptors are the transports that work here, by name, and Order their names,
	// best first.
	Acceptors map[string]transport.Acceptor
	Order     []string
	Log       *slog.Logger
	// Draining tells that the node takes no new transfers. Nil: never.
	Draining func() bool
	// MaxIncoming is how many edges of other nodes may be open at a time; one more
	// is refused with NODE_BUSY.
	MaxIncoming int
}

// Peer is the authenticated other end of a control stream.
type Peer struct {
	Node     transfer.NodeID // "" where it is not known: the owner's word is taken
	SameNode bool
}

// Target serves the edges into regions of this node. It is safe for concurrent use.
type Target struct {
	cfg Config
	log *slog.Logger

	ctx  context.Context
	stop context.CancelCauseFunc
	wg   sync.WaitGroup // the edges

	opening lanes // one edge of a transfer is opened at a time

	mu     sync.Mutex
	closed bool
	edges  map[transfer.UID]*edge
	places map[transfer.UID]int // edges of other nodes
	epochs epoch.Book
}

var (
	errClosed     = &transfer.Error{Reason: transfer.NodeStopping, Side: transfer.SideTarget, Phase: transfer.PhaseConnect, Err: errors.New("the node is stopping")}
	errSuperseded = errors.New("a newer attempt of the transfer has begun")
)

// New returns a Target; Close ends it.
func New(cfg Config) *Target {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxIncoming <= 0 {
		cfg.MaxIncoming = DefaultIncoming
	}
	t := &Target{cfg: cfg, log: cfg.Log, edges: map[transfer.UID]*edge{}, places: map[transfer.UID]int{}}
	t.ctx, t.stop = context.WithCancelCause(context.Background())
	return t
}

// Serve runs one edge: it reads Open from the link and returns after everything of
// the edge has ended and no byte of it can land any more, but where the region is
// quarantined. It closes the link. The error tells why the edge ended early; it is a
// transfer.Error where the owner was told.
func (t *Target) Serve(ctx context.Context, p Peer, link transfer.OwnerLink) error {
	defer link.Close()
	if !t.enter() {
		_ = link.Send(ctx, &transfer.Refused{Err: errClosed})
		return errClosed
	}
	defer t.wg.Done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(t.ctx, func() { cancel(context.Cause(t.ctx)) })()

	m, err := t.firstMessage(ctx, link)
	if err != nil {
		return err
	}
	leave, terr := t.takePlace(p, m)
	if terr != nil {
		_ = link.Send(ctx, &transfer.Refused{Err: terr})
		return terr
	}
	defer leave()
	e, opened, terr := t.open(ctx, cancel, p, m)
	if terr != nil {
		_ = link.Send(ctx, &transfer.Refused{Err: terr})
		return terr
	}
	if e == nil { // validated only
		return link.Send(ctx, opened)
	}
	return e.serve(link, opened)
}

func (t *Target) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.wg.Add(1)
	return true
}

func (t *Target) firstMessage(ctx context.Context, link transfer.OwnerLink) (*transfer.Open, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	m, err := link.Recv(ctx)
	if err != nil {
		return nil, fmt.Errorf("receive the first message: %w", err)
	}
	open, ok := m.(*transfer.Open)
	if !ok {
		terr := t.refuse(transfer.ProtocolError, "", fmt.Errorf("the first message is %T", m))
		_ = link.Send(ctx, &transfer.Refused{Err: terr})
		return nil, terr
	}
	return open, nil
}

// takePlace refuses an edge while as many are open as the node takes at a time.
// leave gives the place back. An attempt that is overtaken does not count.
func (t *Target) takePlace(p Peer, m *transfer.Open) (leave func(), terr *transfer.Error) {
	if p.SameNode || m.ValidateOnly {
		return func() {}, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.places[m.UID] == 0 && len(t.places) >= t.cfg.MaxIncoming {
		terr := t.refuse(transfer.NodeBusy, m.Dest, fmt.Errorf("%d transfers into regions come in already (limits.incoming)", len(t.places)))
		terr.Hint = "it is tried again by itself"
		return nil, terr
	}
	t.places[m.UID]++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.places[m.UID]--; t.places[m.UID] == 0 {
			delete(t.places, m.UID)
		}
	}, nil
}

// SetMaxIncoming changes how many edges of other nodes may be open at a time, from
// the next one on; 0 is the default.
func (t *Target) SetMaxIncoming(n int) {
	if n <= 0 {
		n = DefaultIncoming
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cfg.MaxIncoming = n
}

// Incoming is a transfer that an edge is open of.
type Incoming struct {
	Owner     transfer.NodeID
	ID        string
	UID       transfer.UID
	Epoch     uint64
	Principal string
	Dest      string
	Since     time.Time
}

// Incoming lists the transfers into regions here, by time.
func (t *Target) Incoming() []Incoming {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]Incoming, 0, len(t.edges))
	for _, e := range t.edges {
		list = append(list, Incoming{
			Owner: e.m.Owner, ID: e.m.ID, UID: e.m.UID, Epoch: e.m.Epoch, Principal: e.m.Principal, Dest: e.m.Dest, Since: e.since,
		})
	}
	slices.SortFunc(list, func(a, b Incoming) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return slices.Compare(a.UID[:], b.UID[:])
	})
	return list
}

// Close ends all edges and waits for them. It is idempotent.
func (t *Target) Close() error {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.stop(errClosed)
	t.wg.Wait()
	return nil
}

func (t *Target) refuse(r transfer.Reason, dest string, err error) *transfer.Error {
	return &transfer.Error{Reason: r, Side: transfer.SideTarget, Phase: transfer.PhaseConnect, Node: t.cfg.Node, Path: dest, Err: err}
}

// epochKey is what epochs are compared within: a restored backup of an owner has
// another state uuid, and begins anew.
func epochKey(m *transfer.Open) [16]byte {
	var h xxh3.Hasher
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(m.StateUUID)))
	_, _ = h.Write(n[:])
	_, _ = h.WriteString(m.StateUUID)
	_, _ = h.Write(m.UID[:])
	return h.Sum128().Bytes()
}
