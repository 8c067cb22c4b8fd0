package cluster

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/sync/errgroup"
)

// ErrDuplicateNode says that another live process has this node's id.
var ErrDuplicateNode = errors.New("another live node has the same name")

// Cluster is one process's membership. All methods are safe for concurrent use.
type Cluster struct {
	cfg       Config
	conf      *memberlist.Config
	timing    timing
	log       *slog.Logger
	gossipLog *gossipLog
	transport memberlist.Transport
	view      *view
	stats     stats
	alarms    chan alarm
	updates   chan struct{} // our metadata changed
	ml        *memberlist.Memberlist
	seeker    seeker

	mu      sync.Mutex
	self    record
	changes uint64             // of our metadata
	told    uint64             // the change that was spread last
	spread  chan struct{}      // closed and replaced when told rises
	started bool               // Run or Close was called
	cancel  context.CancelFunc // of Run
	done    chan struct{}      // closed when Run returned
}

// New checks the configuration and binds the gossip port. It starts nothing;
// who does not call Run calls Close.
func New(cfg Config) (*Cluster, error) {
	if err := cfg.normalise(); err != nil {
		return nil, err
	}
	c := &Cluster{
		cfg:     cfg,
		log:     cfg.Log,
		alarms:  make(chan alarm, 64),
		updates: make(chan struct{}, 1),
		done:    make(chan struct{}),
		spread:  make(chan struct{}),
		self:    record{Meta: cfg.Meta, id: cfg.NodeID, instance: cfg.Instance, started: time.Now()},
	}
	c.conf, c.timing = cfg.Profile.config()
	c.gossipLog = newGossipLog(cfg.Log, &c.stats)
	c.view = newView(cfg.NodeID, cfg.Instance, c.raise)
	c.seeker = newSeeker(c)

	var ip netip.Addr
	if cfg.Advertise != "" {
		var err error
		if ip, err = netip.ParseAddr(cfg.Advertise); err != nil {
			return nil, fmt.Errorf("advertise: %w", err)
		}
		ip = ip.Unmap()
	}
	if n := len(c.encodeSelf()); n > MaxMeta {
		return nil, fmt.Errorf("what this node tells of itself has %d bytes, the limit is %d", n, MaxMeta)
	}
	d := delegate{c}
	c.conf.Name = nameOf(cfg.NodeID, cfg.Instance)
	c.conf.Label = labelOf(cfg.Cluster)
	c.conf.Logger = c.gossipLog.logger()
	c.conf.Delegate, c.conf.Events, c.conf.Alive, c.conf.Conflict, c.conf.Ping = d, d, d, d, d
	c.conf.BindPort, c.conf.AdvertisePort = DefaultPort, 0
	if len(cfg.KeyringKeys) > 0 {
		ring, err := memberlist.NewKeyring(cfg.KeyringKeys, cfg.KeyringKeys[0])
		if err != nil {
			return nil, fmt.Errorf("gossip keys: %w", err)
		}
		c.conf.Keyring = ring
		c.self.Capabilities |= CapGossipKey
	}
	c.transport = cfg.Transport
	if c.transport == nil {
		t, err := listenGossip(cfg.Bind, ip, cfg.Log)
		if err != nil {
			return nil, err
		}
		c.transport = t
	}
	c.conf.Transport = c.transport
	return c, nil
}

// Run joins the cluster and keeps the membership until ctx ends, then says
// goodbye, within the configured bound, and stops everything it started. It
// returns nil after that, or why the node cannot take part: ErrDuplicateNode,
// or a transport that does not come up. It may be called once.
//
// memberlist's own timers may outlive Run by a few probe intervals; they touch
// nothing.
func (c *Cluster) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	if c.started {
		c.mu.Unlock()
		return errors.New("cluster was run or closed already")
	}
	c.started, c.cancel = true, cancel
	c.mu.Unlock()
	defer close(c.done)

	if t, ok := c.transport.(*netTransport); ok {
		t.start()
	}
	var err error
	if c.ml, err = memberlist.Create(c.conf); err != nil {
		return errors.Join(fmt.Errorf("gossip: %w", err), c.transport.Shutdown())
	}
	c.log.Info("gossip is up", "addr", c.Addr().String(), "instance", c.cfg.Instance, "cluster", c.cfg.Cluster)

	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.seeker.run(gctx) })
	g.Go(func() error { return c.watchAlarms(gctx) })
	g.Go(func() error { return c.announce(gctx) })
	// A join under way ends when its streams do.
	if h, ok := c.transport.(interface{ HangUp() }); ok {
		stop := context.AfterFunc(gctx, h.HangUp)
		defer stop()
	}
	err = g.Wait()
	c.leave()
	return errors.Join(err, c.ml.Shutdown())
}

// Close ends Run and waits for it. Without Run it frees the port. It is
// idempotent.
func (c *Cluster) Close() error {
	c.mu.Lock()
	if !c.started {
		c.started = true
		c.mu.Unlock()
		close(c.done)
		return c.transport.Shutdown()
	}
	cancel := c.cancel
	c.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	<-c.done
	return nil
}

// leave says goodbye: first in the metadata, since memberlist tells others only
// that a node is gone, then by memberlist's own message.
func (c *Cluster) leave() {
	c.gossipLog.quiet.Store(true)
	c.mu.Lock()
	c.self.phase = phaseLeaving
	c.mu.Unlock()
	patience := c.goodbyeTime()
	if err := c.ml.UpdateNode(patience); err != nil {
		c.log.Debug("goodbye", "err", err)
	}
	if err := c.ml.Leave(patience); err != nil {
		c.log.Debug("goodbye", "err", err)
	}
}

// goodbyeTime is about what one message needs to go to as many members as
// memberlist sends it to. Waiting longer is in vain: where all leave at once
// nobody is left to hear.
func (c *Cluster) goodbyeTime() time.Duration {
	_, others := c.view.liveGossip()
	if others == 0 {
		return time.Millisecond
	}
	sends := c.conf.RetransmitMult * int(math.Ceil(math.Log10(float64(others+2))))
	rounds := sends/min(others, c.conf.GossipNodes) + 2
	return min(time.Duration(rounds)*c.conf.GossipInterval, c.cfg.LeaveTimeout/2)
}

// Addr returns the gossip address that peers join at.
func (c *Cluster) Addr() netip.AddrPort {
	ip, port, err := c.transport.FinalAdvertiseAddr("", 0)
	if err != nil {
		return netip.AddrPort{}
	}
	a, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(a.Unmap(), uint16(port))
}

// Instance returns the name of this start of the node.
func (c *Cluster) Instance() string { return c.cfg.Instance }

// Members returns every known member, the gone ones included, ordered by id.
func (c *Cluster) Members() []Member { return c.view.members() }

// Lookup returns the newest live instance of a node, or what is remembered of
// one that is gone.
func (c *Cluster) Lookup(id string) (Member, bool) { return c.view.lookup(id) }

// Since returns the latest change of every member that changed after rev, in
// order, the present revision, and a channel that is closed at the next change.
// It never blocks.
func (c *Cluster) Since(rev uint64) ([]Event, uint64, <-chan struct{}) { return c.view.since(rev) }

// Watch yields one Joined event for each member that is here, the last word
// about those who are gone, and from then on every change, until ctx ends or
// the loop is left. A slow loop misses nothing but intermediate states.
func (c *Cluster) Watch(ctx context.Context) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		var rev uint64
		for {
			events, now, more := c.view.since(rev)
			for _, ev := range events {
				if ctx.Err() != nil || !yield(ev) {
					return
				}
			}
			rev = now
			select {
			case <-more:
			case <-ctx.Done():
				return
			}
		}
	}
}

// WaitJoined waits until at least n members are here, this node included.
func (c *Cluster) WaitJoined(ctx context.Context, n int) error {
	for {
		have, more := c.view.count()
		if have >= n {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d nodes are here: %w", have, n, context.Cause(ctx))
		case <-c.done:
			return fmt.Errorf("%d of %d nodes are here: membership has ended", have, n)
		}
	}
}

// UpdateMeta changes what this node tells of itself. It returns at once; see
// WaitTold. It refuses what New would refuse.
func (c *Cluster) UpdateMeta(change func(*Meta)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.self
	change(&r.Meta)
	if err := r.Meta.check(); err != nil {
		return err
	}
	if c.conf.Keyring != nil {
		r.Capabilities |= CapGossipKey
	}
	c.self = r
	c.changes++
	select {
	case c.updates <- struct{}{}:
	default: // one is under way and takes the newest state
	}
	return nil
}

// WaitTold waits until what changed before the call was sent out, and had the
// time that it needs to reach everybody who listens; then it returns nil. Nobody
// confirms, and who missed it hears of it later. It takes a few gossip rounds
// (tenths of a second), and longer only after many changes in a row.
func (c *Cluster) WaitTold(ctx context.Context) error {
	c.mu.Lock()
	want := c.changes
	c.mu.Unlock()
	for {
		c.mu.Lock()
		told, more := c.told, c.spread
		c.mu.Unlock()
		if told >= want {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.done:
			return errors.New("membership has ended")
		}
	}
}

// SetDraining tells the others that this node takes no new transfers, or does
// again.
func (c *Cluster) SetDraining(on bool) error {
	return c.UpdateMeta(func(m *Meta) { m.Draining = on })
}

// SetKeys replaces the gossip keys while running: the first one encrypts. All
// nodes must have a key before any of them makes it the first. A cluster cannot
// change between clear text and encryption while running.
func (c *Cluster) SetKeys(keys [][]byte) error {
	ring := c.conf.Keyring
	if ring == nil || len(keys) == 0 {
		return errors.New("gossip keys: encryption is turned on or off only by a restart of all nodes")
	}
	for i, k := range keys {
		if err := ring.AddKey(k); err != nil {
			return fmt.Errorf("gossip key %d: %w", i+1, err)
		}
	}
	if err := ring.UseKey(keys[0]); err != nil {
		return fmt.Errorf("gossip keys: %w", err)
	}
	for _, k := range ring.GetKeys() {
		if !containsKey(keys, k) {
			if err := ring.RemoveKey(k); err != nil {
				return fmt.Errorf("gossip keys: %w", err)
			}
		}
	}
	return nil
}
