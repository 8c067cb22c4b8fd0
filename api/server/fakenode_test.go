package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// fakeCluster is some nodes in one process, each with the real server over an
// engine of memory.
type fakeCluster struct {
	t     *testing.T
	mu    sync.Mutex // guards nodes against those that join later
	nodes map[transfer.NodeID]*fakeNode
}

type fakeNode struct {
	c       *fakeCluster
	id      transfer.NodeID
	engine  *fakeEngine
	server  *Server
	grpc    *GRPC
	dir     string // its export, read-write
	members *fakeNodes
	lis     *bufconn.Listener
	conn    *grpc.ClientConn // as a caller
	mu      sync.Mutex
	peers   map[transfer.NodeID]*grpc.ClientConn // as a node
	down    map[transfer.NodeID]bool
}

func newCluster(t *testing.T, ids ...transfer.NodeID) *fakeCluster {
	c := &fakeCluster{t: t, nodes: map[transfer.NodeID]*fakeNode{}}
	var list []Node
	for _, id := range ids {
		list = append(list, Node{ID: id, State: NodeAlive, Version: "test", Labels: map[string]string{"zone": "a"}})
	}
	for _, id := range ids {
		c.start(id, slices.Clone(list))
	}
	return c
}

func (c *fakeCluster) start(id transfer.NodeID, list []Node) *fakeNode {
	n := &fakeNode{
		c: c, id: id, engine: newFakeEngine(id), dir: c.t.TempDir(), lis: bufconn.Listen(1 << 20),
		members: &fakeNodes{list: list, revision: 1, changed: make(chan struct{})},
		peers:   map[transfer.NodeID]*grpc.ClientConn{}, down: map[transfer.NodeID]bool{},
	}
	exports, err := fsroot.OpenExports([]fsroot.Export{{Path: n.dir, Mode: fsroot.ReadWrite}})
	if err != nil {
		c.t.Fatal(err)
	}
	n.server, err = New(Config{
		Self: id, Engine: n.engine, Nodes: n.members, Guard: fakeGuard{id}, Forwarder: n,
		Exports: func() *fsroot.Exports { return exports }, Log: slog.New(slog.DiscardHandler),
		MaxWatchesPerCaller: 3,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	n.grpc = n.server.NewGRPC(ListenOptions{Reflection: id == "n1"})
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = n.grpc.Serve(n.lis)
	}()
	n.conn = n.dial()
	c.mu.Lock()
	c.nodes[id] = n
	c.mu.Unlock()
	c.t.Cleanup(func() {
		_ = n.conn.Close()
		for _, p := range n.peers {
			_ = p.Close()
		}
		_ = n.server.Close()
		n.grpc.Stop()
		<-served
		_ = exports.Close()
	})
	return n
}

func (n *fakeNode) dial() *grpc.ClientConn {
	conn, err := grpc.NewClient("passthrough:///"+string(n.id),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return n.lis.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage)))
	if err != nil {
		n.c.t.Fatal(err)
	}
	return conn
}

// Conn implements Forwarder. What goes over it is marked as a node's.
func (n *fakeNode) Conn(_ context.Context, to transfer.NodeID) (grpc.ClientConnInterface, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.c.mu.Lock()
	peer := n.c.nodes[to]
	n.c.mu.Unlock()
	if peer == nil {
		return nil, &transfer.Error{Reason: transfer.NodeUnknown, Node: to, Err: errors.New("never heard of it")}
	}
	if n.down[to] {
		return nil, &transfer.Error{Reason: transfer.OwnerUnreachable, Node: to, Err: errors.New("no route")}
	}
	if n.peers[to] == nil {
		n.peers[to] = peer.dial()
	}
	return nodeConn{n.peers[to]}, nil
}

// nodeConn says that the caller is a node, as its certificate would.
type nodeConn struct{ grpc.ClientConnInterface }

func (c nodeConn) Invoke(ctx context.Context, method string, args, reply any, o ...grpc.CallOption) error {
	return c.ClientConnInterface.Invoke(metadata.AppendToOutgoingContext(ctx, "test-who", "node"), method, args, reply, o...)
}

func (c nodeConn) NewStream(ctx context.Context, d *grpc.StreamDesc, method string, o ...grpc.CallOption) (grpc.ClientStream, error) {
	return c.ClientConnInterface.NewStream(metadata.AppendToOutgoingContext(ctx, "test-who", "node"), d, method, o...)
}

func (n *fakeNode) transfers() xferv1.TransferServiceClient {
	return xferv1.NewTransferServiceClient(n.conn)
}
func (n *fakeNode) nodes() xferv1.NodeServiceClient { return xferv1.NewNodeServiceClient(n.conn) }

// fakeGuard believes the metadata test-who: "root" is an administrator, "node" a
// node; without it nobody is there. /secret is for nobody.
type fakeGuard struct{ self transfer.NodeID }

func (g fakeGuard) Caller(ctx context.Context) (Caller, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	who := md.Get("test-who")
	if len(who) != 1 {
		return Caller{}, &transfer.Error{Reason: transfer.Unauthenticated, Node: g.self, Err: errors.New("who are you?")}
	}
	return Caller{Principal: who[0], Admin: who[0] == "root", Node: who[0] == "node"}, nil
}

func (g fakeGuard) Behalf(_ context.Context, _ Caller, principal string) (Caller, error) {
	return Caller{Principal: principal, Admin: principal == "root"}, nil
}

func (g fakeGuard) Path(_ context.Context, c Caller, path string, _ bool) error {
	if path == "/secret" {
		return &transfer.Error{Reason: transfer.PathNotAllowed, Side: transfer.SideSource, Node: g.self, Path: path, Err: fmt.Errorf("%s may not", c.Principal), Hint: "exports: /data"}
	}
	return nil
}

// as is a context of a caller with a deadline that no test should meet.
func as(t *testing.T, who string) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, "test-who", who)
}

type fakeNodes struct {
	mu       sync.Mutex
	list     []Node
	revision uint64
	changed  chan struct{}
	latest   []Node
	drained  bool
}

func (f *fakeNodes) List() ([]Node, uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.list), f.revision
}

func (f *fakeNodes) Changes(ctx context.Context, since uint64) ([]Node, uint64, error) {
	for {
		f.mu.Lock()
		revision, latest, changed := f.revision, f.latest, f.changed
		f.mu.Unlock()
		if since > revision {
			return nil, revision, &transfer.Error{Reason: transfer.Compacted, Err: errFake}
		}
		if since < revision {
			return latest, revision, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, revision, nil
		}
	}
}

// put adds or changes a node.
func (f *fakeNodes) put(n Node) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = slices.DeleteFunc(f.list, func(o Node) bool { return o.ID == n.ID })
	f.list = append(f.list, n)
	f.latest = []Node{n}
	f.revision++
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fakeNodes) View() string { return "view-1" }
func (f *fakeNodes) Failing() []FailingFS {
	return []FailingFS{{Dir: "/data/disk", Since: time.Unix(1700000000, 0), Err: errors.New("input/output error")}}
}

func (f *fakeNodes) Load() Load { return Load{Queued: 2, Running: 1} }

func (f *fakeNodes) RDMA(_ context.Context, routeTo []netip.Addr) (devices []RDMADevice, routes []Route) {
	for _, to := range routeTo {
		routes = append(routes, Route{Destination: to, Source: netip.MustParseAddr("10.0.0.1"), Interface: "eth0", Device: "rxe0", Port: 1, GIDIndex: 3})
	}
	return []RDMADevice{{Name: "rxe0", Ports: []RDMAPort{{Number: 1, State: "ACTIVE", Link: "Ethernet", MTU: 4096, GIDs: []RDMAGID{
		{Index: 3, GID: "::ffff:10.0.0.1", Type: "RoCE v2"}, {Index: 0, GID: "fe80::1", Type: "RoCE v2", Rejected: "link-local"}}}}},
		{Name: "rxe1", Reason: "PORT_DOWN", Detail: "port 1 of rxe1 is DOWN"}}, routes
}

func (f *fakeNodes) Drain(_ context.Context, on bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drained = on
	return nil
}
