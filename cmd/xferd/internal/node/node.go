package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/xferd/xferd/api/peer"
	"github.com/xferd/xferd/api/server"
	"github.com/xferd/xferd/cluster"
	"github.com/xferd/xferd/cmd/xferd/internal/config"
	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/internal/hostnet"
	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/internal/telemetry"
	"github.com/xferd/xferd/internal/trust"
	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/region"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/lifecycle"
	"github.com/xferd/xferd/transfer/receiver"
	"github.com/xferd/xferd/transfer/sender"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/local"
	"github.com/xferd/xferd/transport/tcp"
	"github.com/xferd/xferd/transport/verbs"
)

// ErrConfig is wrapped by errors that only another configuration mends.
var ErrConfig = errors.New("configuration")

// Options of New beside the configuration.
type Options struct {
	Log     *slog.Logger
	Version string
	// Gossip chooses the timing of the membership: cluster.Local for the nodes
	// of a cluster that lives on one machine.
	Gossip cluster.Profile
	// NoSync leaves out the syncs of the state directory: for a throw-away
	// cluster.
	NoSync bool
	// RDMA stands in for that of the machine; for tests.
	RDMA *rdma.System
	// KernelRelease stands in for that of the running kernel; for tests.
	KernelRelease string
}

// Node is a node that is put together. New opens everything that can fail; Run
// makes it work.
type Node struct {
	cfg config.Config
	log *slog.Logger

	exports  atomic.Pointer[fsroot.Exports]
	store    *store.Store
	mistaken bool // the configuration is wrong, which was found out late
	sendPool *bufpool.Pool
	recvPool *bufpool.Pool
	tcp      *tcp.Transport
	fabric   *fabric
	verbs    *verbs.Transport // nil without RDMA
	cluster  *cluster.Cluster
	dialer   *peer.Dialer
	regions  *region.Registry
	receiver *receiver.Receiver
	target   *target // receiver, and edges into regions
	engine   *lifecycle.Engine
	drain    *drainState
	peers    *peers

	api     *server.Server
	edges   *peer.Server
	metrics *telemetry.Metrics
	meter   meter

	control, data, http net.Listener
	socket              net.Listener // nil: not served
	grpcControl         *server.GRPC
	grpcSocket          *server.GRPC
}

// New puts a node together: it opens exports, state and listeners. On an error
// it leaves nothing open. Errors: ErrConfig, *kernel.TooOldError, those of
// store.Open, addresses in use.
func New(ctx context.Context, c config.Config, o Options) (n *Node, err error) {
	if err := checkKernel(o); err != nil {
		return nil, err
	}
	if err := Check(c); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	n = &Node{cfg: c, log: o.Log}
	defer func() {
		if err != nil {
			n.mistaken = errors.Is(err, ErrConfig)
			n.closeOpened()
			n = nil
		}
	}()
	x, err := openExports(c)
	if err != nil {
		return n, fmt.Errorf("%w: exports: %w", ErrConfig, err)
	}
	n.exports.Store(x)
	if n.store, err = store.Open(ctx, c.StateDir, store.Options{
		NodeID: c.Name, Cluster: c.Cluster, Version: o.Version, Log: n.log, NoSync: o.NoSync,
	}); err != nil {
		return n, err
	}
	if n.drain, err = loadDrain(n.store); err != nil {
		return n, err
	}
	if err := n.openRegions(ctx); err != nil {
		return n, err
	}
	// Two budgets: with one, two nodes that send to each other could each wait
	// for the other to free buffers that hold what it wants to send.
	n.sendPool, n.recvPool = bufpool.New(c.BufferMemory/2), bufpool.New(c.BufferMemory/2)
	n.fabric = openFabric(o.RDMA, c.Transport.Devices, n.log)
	n.metrics = telemetry.NewMetrics(o.Version, c.Name)
	if err := n.listen(ctx); err != nil {
		return n, err
	}
	if err := n.join(o); err != nil {
		return n, err
	}
	if err := n.assemble(ctx, o); err != nil {
		return n, err
	}
	return n, nil
}

// listen opens the listeners, so that an address in use is told before anything
// runs.
func (n *Node) listen(ctx context.Context) error {
	l, err := net.Listen("tcp", n.cfg.Listen.Control)
	if err != nil {
		return fmt.Errorf("listen.control: %w", err)
	}
	n.control = l
	if n.data, err = tcp.Listen(ctx, n.cfg.Listen.Data); err != nil {
		return fmt.Errorf("listen.data: %w", err)
	}
	if n.cfg.Listen.HTTP != "" {
		if n.http, err = net.Listen("tcp", n.cfg.Listen.HTTP); err != nil {
			return fmt.Errorf("listen.http: %w", err)
		}
	}
	if n.cfg.Listen.Socket != "" {
		s, err := trust.ListenUnix(n.cfg.Listen.Socket, n.cfg.Listen.SocketGroup)
		if err != nil {
			return fmt.Errorf("listen.socket: %w", err)
		}
		n.socket = s
	}
	return nil
}

// advertise is the address that peers use: the configured one, or that of the
// control listener, or the routed one where it listens on all.
func (n *Node) advertise() (netip.Addr, error) {
	if a := n.cfg.Advertise; a != "" {
		return netip.ParseAddr(a)
	}
	if a := addrPort(n.control).Addr(); !a.IsUnspecified() {
		return a, nil
	}
	a, err := hostnet.New().DefaultAdvertise()
	if err != nil {
		return a, fmt.Errorf("%w: advertise is not set and there is no routed address: %w", ErrConfig, err)
	}
	return a, nil
}

func addrPort(l net.Listener) netip.AddrPort {
	a := l.Addr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

func (n *Node) join(o Options) error {
	ip, err := n.advertise()
	if err != nil {
		return err
	}
	caps := cluster.CapTCP | n.fabric.capabilities()
	if n.cfg.Insecure {
		caps |= cluster.CapInsecure
	}
	known := store.NewTable[cluster.Peer](n.store, "peers")
	n.cluster, err = cluster.New(cluster.Config{
		NodeID: n.cfg.Name, Cluster: n.cfg.Cluster, Bind: n.cfg.Listen.Gossip, Advertise: ip.String(),
		Join: cluster.StaticJoin(n.cfg.Join...), Profile: o.Gossip, Log: n.log,
		Meta: cluster.Meta{
			Control: netip.AddrPortFrom(ip, addrPort(n.control).Port()),
			Data:    netip.AddrPortFrom(ip, addrPort(n.data).Port()),
			Zone:    n.cfg.Labels["zone"], Rack: n.cfg.Labels["rack"],
			Capabilities: caps, Draining: n.drain.on(), Version: o.Version,
		},
		LoadPeers: func(context.Context) (list []cluster.Peer, err error) {
			err = known.All(func(_ string, p cluster.Peer) error { list = append(list, p); return nil })
			return list, err
		},
		SavePeers: func(ctx context.Context, list []cluster.Peer) error { return savePeers(ctx, n.store, known, list) },
	})
	if err != nil {
		return fmt.Errorf("membership: %w", err)
	}
	return nil
}

// savePeers replaces the table by the list.
func savePeers(ctx context.Context, s *store.Store, t *store.Table[cluster.Peer], list []cluster.Peer) error {
	old := map[string]bool{}
	if err := t.All(func(key string, _ cluster.Peer) error { old[key] = true; return nil }); err != nil {
		return err
	}
	return s.Update(ctx, func(tx *store.Tx) error {
		for _, p := range list {
			if err := t.Put(tx, p.ID, p); err != nil {
				return err
			}
		}
		for key := range old {
			gone := true
			for _, p := range list {
				gone = gone && p.ID != key
			}
			if gone {
				if err := t.Delete(tx, key); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// assemble builds the rooms upon each other.
func (n *Node) assemble(ctx context.Context, o Options) (err error) {
	self := transfer.NodeID(n.cfg.Name)
	ip, err := n.advertise()
	if err != nil {
		return err
	}
	dataAddr := netip.AddrPortFrom(ip, addrPort(n.data).Port()).String()
	if n.tcp, err = tcp.New(tcp.Config{
		Listener: n.data, Advertise: func() string { return dataAddr }, Incarnation: n.store.Incarnation(),
		Pool: n.sendPool, RecvPool: n.recvPool, Log: n.log,
	}); err != nil {
		return err
	}
	inside, err := local.New(local.Config{Pool: n.recvPool, Incarnation: n.store.Incarnation()})
	if err != nil {
		return err
	}
	acceptors := map[string]transport.Acceptor{transport.TCP: n.tcp, transport.Local: inside}
	dialers := map[string]transport.Dialer{transport.TCP: n.tcp, transport.Local: inside}
	order := []string{transport.Local, transport.TCP}
	if n.fabric.sys != nil {
		if n.verbs, err = n.fabric.transport(verbs.Config{
			Incarnation: n.store.Incarnation(),
			SendPool:    n.sendPool, RecvPool: n.recvPool, Log: n.log,
			Limits: verbs.Limits{Pinned: n.cfg.Regions.Pinned, PinnedEach: n.cfg.Regions.PinnedPerPrincipal},
		}); err != nil {
			return err
		}
		acceptors[transport.RDMA], dialers[transport.RDMA] = n.verbs, n.verbs
		order = []string{transport.Local, transport.RDMA, transport.TCP}
	}
	n.meter = newMeter(transport.Local, transport.TCP, transport.RDMA)
	for name, a := range acceptors {
		acceptors[name] = n.meter.acceptor(name, a)
	}
	if n.receiver, err = receiver.New(ctx, receiver.Config{
		Node: self, Exports: n.exports.Load, Store: n.store, Pool: n.recvPool,
		Acceptors: acceptors, Order: order,
		Draining: n.drain.on, MaxIncoming: n.cfg.Limits.Incoming,
		Log: n.log, PartialTTL: n.cfg.Times.PartialTTL, OrphanTTL: n.cfg.Times.OrphanTTL,
	}); err != nil {
		return err
	}
	n.target = &target{node: self, files: n.receiver, memory: n.openMemory(acceptors, order)}
	id := peer.Identity{
		Node: self, Cluster: n.cfg.Cluster, Incarnation: n.store.Incarnation(), Version: o.Version, Draining: n.drain.on,
	}
	n.dialer = &peer.Dialer{Self: id, Credentials: trust.Local(), Lookup: n.lookup}
	n.peers = &peers{n: n, joined: make(chan struct{})}
	senders := sender.Config{
		Node: self, Exports: n.exports.Load, Pool: n.sendPool, Log: n.log, Regions: sourceRegions{n.regions, self},
		Dialers: dialers, NoRDMA: n.fabric.missing,
	}
	if n.engine, err = lifecycle.New(ctx, lifecycle.Config{
		Node: self, Store: n.store, Peers: n.peers, Exports: n.exports.Load, Log: n.log, Regions: sourceRegions{n.regions, self},
		NewEdge: func(job sender.Job, link transfer.TargetLink, obs sender.Observer) lifecycle.Edge {
			return sender.New(senders, job, link, n.meter.observer(obs))
		},
		Validate: func(ctx context.Context, job sender.Job, link transfer.TargetLink) (transfer.Plan, error) {
			return sender.Validate(ctx, senders, job, link)
		},
		Draining: n.drain.on, Limits: limits(n.cfg), OrphanTTL: n.cfg.Times.OrphanTTL,
	}); err != nil {
		return err
	}
	g := guard{insecure: n.cfg.Insecure, self: self}
	if n.api, err = server.New(server.Config{
		Self: self, Engine: &engine{n.engine, n.target, self}, Nodes: &nodes{n}, Guard: g,
		Forwarder: forwarder{n.dialer}, Regions: n.regions, Exports: n.exports.Load, Log: n.log,
	}); err != nil {
		return err
	}
	n.edges = &peer.Server{Self: id, Target: n.target, Authorise: g.node}
	if err := n.metrics.Register(collector{n}); err != nil {
		return err
	}
	creds := []grpc.ServerOption{grpc.Creds(trust.Local())}
	n.grpcControl = n.api.NewGRPC(server.ListenOptions{Extra: creds})
	n.edges.Register(n.grpcControl)
	n.grpcSocket = n.api.NewGRPC(server.ListenOptions{Reflection: true, Extra: creds})
	if n.socket != nil {
		n.socket = newSocket(n.socket, n.serveProgram)
	}
	return nil
}

// lookup tells the peer dialer where a node is.
func (n *Node) lookup(id transfer.NodeID) (peer.Address, error) {
	m, ok := n.cluster.Lookup(string(id))
	if !ok {
		return peer.Address{}, unknownNode(id)
	}
	if m.Addr == "" {
		return peer.Address{}, &transfer.Error{
			Reason: transfer.PeerUnreachable, Side: transfer.SideTarget, Phase: transfer.PhaseConnect, Node: id,
			Err: errors.New("the node told no control address"),
		}
	}
	return peer.Address{HostPort: m.Addr, Instance: m.Instance}, nil
}

func unknownNode(id transfer.NodeID) *transfer.Error {
	return &transfer.Error{
		Reason: transfer.NodeUnknown, Side: transfer.SideTarget, Phase: transfer.PhaseConnect, Node: id,
		Err:  fmt.Errorf("no node %q in the cluster", id),
		Hint: "xferctl nodes lists those that are known",
	}
}

// ControlAddr, DataAddr and GossipAddr are where the node listens.
func (n *Node) ControlAddr() string { return n.control.Addr().String() }

// DataAddr is the address of the data plane.
func (n *Node) DataAddr() string { return n.data.Addr().String() }

// GossipAddr is the address that others join at.
func (n *Node) GossipAddr() string { return n.cluster.Addr().String() }

// WaitJoined waits until so many nodes are seen, this one included.
func (n *Node) WaitJoined(ctx context.Context, count int) error {
	return n.cluster.WaitJoined(ctx, count)
}

const stopTimeout = 20 * time.Second
