package verbs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/internal/epoch"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transport"
)

// Limits are bounds that a peer cannot move. Zero fields take the default.
type Limits struct {
	// Handshake is the time for the set-up of a session, its probe included
	// (10 s), and Setups how many may be set up at a time (16): bringing up
	// queue pairs is slow, and a storm of them must not starve the others.
	Handshake time.Duration
	Setups    int
	// Slots of one session (8), as far as the buffer memory allows.
	Slots int
	// QueuePairs on each rail of a session (1).
	QueuePairs int
	// Streams is the largest number of streams of one edge (32), ChunkSize the
	// largest chunk_size in bytes (64 MiB).
	Streams   int
	ChunkSize int64
	// Drain is how long the fence waits for completions (1 s), Destroy how long
	// for the device to give memory back (10 s).
	Drain, Destroy time.Duration
	// Stall is the time after which a session is given up where chunks are on
	// their way and nothing is heard: no completion, no answer, and no sign of
	// life of a target that works on them (30 s).
	Stall time.Duration
	// AckTimeout is the exponent of the time until a packet without an
	// acknowledgement is sent again, 4.096 us << n, Retries how often (6); see
	// hardwareAckTimeout. 7 would be for ever on some devices and is refused.
	AckTimeout uint8
	Retries    uint8
	// Rest is how long a path that broke is left alone where there are others
	// (5 s), twice as long each time that it breaks again, LongestRest (5 min) at
	// most.
	Rest, LongestRest time.Duration
	// Pinned is how many bytes of memory of programs may be registered at a time
	// (three quarters of the machine's memory), PinnedEach how many for one principal
	// (as many). What is registered on two devices counts twice.
	Pinned, PinnedEach int64
	// DirectFrom is the size in bytes from which on files are read and written
	// past the page cache where their file system can (16 MiB); below 0 for never.
	DirectFrom int64
}

func (l *Limits) fill() error {
	def(&l.Handshake, 10*time.Second)
	def(&l.Setups, 16)
	def(&l.Slots, 8)
	def(&l.QueuePairs, 1)
	def(&l.Streams, 32)
	def(&l.ChunkSize, 64<<20)
	def(&l.Drain, time.Second)
	def(&l.Destroy, 10*time.Second)
	def(&l.Stall, 30*time.Second)
	def(&l.Retries, 6)
	def(&l.Rest, 5*time.Second)
	def(&l.LongestRest, 5*time.Minute)
	def(&l.DirectFrom, 16<<20)
	if l.Pinned == 0 {
		l.Pinned = mostPinned()
	}
	def(&l.PinnedEach, l.Pinned)
	switch {
	case l.Retries > 6:
		return fmt.Errorf("%d retries: 7 means for ever on some devices; write 1 to 6", l.Retries)
	case l.AckTimeout > 31:
		return fmt.Errorf("acknowledgement timeout %d: write 1 to 31", l.AckTimeout)
	case l.Slots < 1 || l.Slots > maxSlots:
		return fmt.Errorf("%d slots of a session: write 1 to %d", l.Slots, maxSlots)
	case l.QueuePairs < 1 || l.QueuePairs > maxPairs:
		return fmt.Errorf("%d queue pairs of a rail: write 1 to %d", l.QueuePairs, maxPairs)
	case min(l.Handshake, l.Drain, l.Destroy, l.Stall, l.Rest, l.LongestRest) <= 0:
		return errors.New("a time that is not positive")
	}
	return nil
}

// What an AckTimeout of 0 stands for. A queue pair gives up after seven tries.
//
// On hardware 17, 0.54 s each: less than two seconds in all was too short for
// networks in use, where pauses and lost acknowledgements last as long, and
// hardware takes the time for an upper bound of steps of its own.
//
// A device in software keeps exactly to it, try after try, so that 17 is 3.8 s of
// silence before anybody knows. 16 is 1.9 s: the rest goes by another path within
// five seconds, and an outage of a second is lived through. Fewer tries would be as
// fast, but each burst of loss takes one, and on a network that loses packets it is
// the tries that count.
const (
	hardwareAckTimeout = 17
	softwareAckTimeout = 16
)

func (l *Limits) ackTimeout(software bool) uint8 {
	switch {
	case l.AckTimeout != 0:
		return l.AckTimeout
	case software:
		return softwareAckTimeout
	}
	return hardwareAckTimeout
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// maxSlots fits the immediate; see immediate.
const maxSlots = 4096

// maxPairs are the queue pairs that a session may have on one rail.
const maxPairs = 16

// Config is what a Transport is made of.
type Config struct {
	// Rails returns the rails that can be used now. The devices stay the
	// caller's, open for as long as the transport lives.
	Rails func() ([]Rail, error)
	// Route returns the address of this machine from which a peer's address is
	// reached. It may block for a moment.
	Route func(peer netip.Addr) (local netip.Addr, err error)
	// Incarnation is put into grants.
	Incarnation uint64
	// SendPool lends slabs of the source's side, RecvPool slots of the target's.
	SendPool, RecvPool *bufpool.Pool
	Log                *slog.Logger // nil: no log
	Limits             Limits
}

// Transport is both halves of RDMA on one node: transport.Acceptor and
// transport.Dialer.
type Transport struct {
	cfg Config
	log *slog.Logger
	// Places of set-ups. A source holds one while it waits for one of its
	// target, which may be the same node: they are apart.
	dials, joins chan struct{}
	send, recv   *buffers
	rests        rests
	ledger       ledger
	pinned       pinned
	files        *fsroot.DirectIO

	mu          sync.Mutex
	closed      bool
	epochs      epoch.Book
	open        map[*incoming]struct{}
	sessions    map[*session]struct{} // that hear of events
	quarantined map[*session]struct{} // with memory that is not touched again
	fencing     int                   // sessions that are being taken apart
	fenced      chan struct{}         // closed when fencing falls to 0; nil while nobody waits
}

var (
	_ transport.Acceptor = (*Transport)(nil)
	_ transport.Dialer   = (*Transport)(nil)
	_ transport.Joiner   = (*incoming)(nil)
)

// New returns a transport.
func New(cfg Config) (*Transport, error) {
	if cfg.Rails == nil || cfg.Route == nil || cfg.SendPool == nil || cfg.RecvPool == nil {
		return nil, errors.New("verbs transport without rails, routes or buffers")
	}
	if err := cfg.Limits.fill(); err != nil {
		return nil, err
	}
	t := &Transport{
		cfg: cfg, log: cfg.Log, send: newBuffers(cfg.SendPool), recv: newBuffers(cfg.RecvPool),
		files: fsroot.NewDirectIO(cfg.Limits.DirectFrom),
		open:  map[*incoming]struct{}{}, sessions: map[*session]struct{}{}, quarantined: map[*session]struct{}{},
	}
	t.pinned.most, t.pinned.each = cfg.Limits.Pinned, cfg.Limits.PinnedEach
	t.rests.first, t.rests.longest = cfg.Limits.Rest, cfg.Limits.LongestRest
	t.dials, t.joins = make(chan struct{}, cfg.Limits.Setups), make(chan struct{}, cfg.Limits.Setups)
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	return t, nil
}

// Close fences all edges that were prepared and refuses further ones. It waits for
// devices that are still taking sessions apart, at most Limits.Destroy, and fails
// where memory stays with them. Idempotent.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	all := make([]*incoming, 0, len(t.open))
	for in := range t.open {
		all = append(all, in)
	}
	t.mu.Unlock()
	var closing sync.WaitGroup
	errs := make([]error, len(all))
	for i, in := range all {
		closing.Go(func() { errs[i] = in.Close() })
	}
	closing.Wait()
	t.awaitFences(t.cfg.Limits.Destroy)
	if n := t.Quarantined(); n > 0 {
		errs = append(errs, fmt.Errorf("memory of %d sessions is still with their devices", n))
	}
	return errors.Join(errs...)
}

// setUp waits for a place among the set-ups.
func setUp(ctx context.Context, places chan struct{}) (done func(), err error) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for other sessions to be set up: %w", context.Cause(ctx))
	}
}

// Prepare implements transport.Acceptor. An epoch that is lower than one prepared
// before for the same transfer is transport.ErrStaleEpoch; no usable rail is a
// transport.UnavailableError. Nothing is registered before a source joins.
func (t *Transport) Prepare(ctx context.Context, edge transport.Edge, sink transport.Sink, o transport.PrepareOptions) (transport.Incoming, error) {
	switch l := t.cfg.Limits; {
	case o.Streams < 1 || o.Streams > l.Streams:
		return nil, fmt.Errorf("%d streams, allowed are 1 to %d", o.Streams, l.Streams)
	case o.ChunkSize < 1 || o.ChunkSize > l.ChunkSize:
		return nil, fmt.Errorf("chunks of %d bytes, allowed are 1 to %d", o.ChunkSize, l.ChunkSize)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	rails, err := t.cfg.Rails()
	if err != nil {
		return nil, err
	}
	in, err := newIncoming(t, edge, sink, o, rails)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, net.ErrClosed
	}
	if newest, ok := t.epochs.Open(edge.UID, edge.Epoch); !ok {
		return nil, fmt.Errorf("%w: %d after %d", transport.ErrStaleEpoch, edge.Epoch, newest)
	}
	t.open[in] = struct{}{}
	return in, nil
}

// stale reports whether a newer epoch of the transfer was prepared.
func (t *Transport) stale(e transport.Edge) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.epochs.Newest(e.UID, e.Epoch)
}

func (t *Transport) forget(in *incoming) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.open[in]; ok {
		delete(t.open, in)
		t.epochs.Close(in.edge.UID)
	}
}
