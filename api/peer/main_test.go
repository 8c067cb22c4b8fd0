package peer

import (
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/xferd/xferd/api/server"
	"github.com/xferd/xferd/internal/trust"
	"github.com/xferd/xferd/transfer"
)

func TestMain(m *testing.M) {
	if os.Getenv(strangerEnv) != "" {
		beStranger()
		return
	}
	goleak.VerifyTestMain(m)
}

// serveFunc is a target in one function.
type serveFunc func(ctx context.Context, from transfer.NodeID, link transfer.OwnerLink) error

func (f serveFunc) Serve(ctx context.Context, from transfer.NodeID, link transfer.OwnerLink) error {
	return f(ctx, from, link)
}

// echo answers pings until the owner is gone, and sends what it received.
func echo(got chan<- transfer.ToTarget) serveFunc {
	return func(ctx context.Context, _ transfer.NodeID, link transfer.OwnerLink) error {
		for {
			m, err := link.Recv(ctx)
			if err != nil {
				return err
			}
			if p, ok := m.(*transfer.Ping); ok {
				if err := link.Send(ctx, &transfer.Pong{Seq: p.Seq}); err != nil {
					return err
				}
				continue
			}
			select {
			case got <- m:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

// testNode is a node's end for others, on loopback.
type testNode struct {
	*Server
	grpc   *grpc.Server
	addr   string
	conns  atomic.Int64 // connections that were accepted
	hellos atomic.Int64
}

// startNode serves on addr ("" is any port). The server is stopped with the test.
func startNode(t *testing.T, id transfer.NodeID, cluster, addr string, serve Target, opts ...grpc.ServerOption) *testNode {
	t.Helper()
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	lis, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	n := &testNode{
		Server: &Server{Self: identity(id, cluster), Target: serve},
		addr:   lis.Addr().String(),
	}
	n.grpc = grpc.NewServer(append([]grpc.ServerOption{
		grpc.Creds(trust.Local()), grpc.MaxRecvMsgSize(server.MaxRequest), grpc.MaxSendMsgSize(server.MaxMessage),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			n.hellos.Add(1)
			return next(ctx, req)
		}),
	}, opts...)...)
	n.Register(n.grpc)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = n.grpc.Serve(&countingListener{lis, &n.conns})
	}()
	t.Cleanup(func() {
		n.grpc.Stop()
		n.Wait()
		<-done
	})
	return n
}

type countingListener struct {
	net.Listener
	n *atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.n.Add(1)
	}
	return c, err
}

func identity(id transfer.NodeID, cluster string) Identity {
	return Identity{Node: id, Cluster: cluster, Incarnation: 3, Version: "test", Draining: func() bool { return false }}
}

// dialerTo returns the dialer of node n1 that finds every node at addr().
func dialerTo(t *testing.T, addr func() Address, creds ...credentials.TransportCredentials) *Dialer {
	t.Helper()
	d := &Dialer{
		Self: identity("n1", "c"), Credentials: trust.Local(),
		Lookup: func(transfer.NodeID) (Address, error) { return addr(), nil },
	}
	if len(creds) > 0 {
		d.Credentials = creds[0]
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func at(addr string) func() Address {
	return func() Address { return Address{HostPort: addr, Instance: "1"} }
}

// openEdge opens an edge and sends Open.
func openEdge(t *testing.T, ctx context.Context, d *Dialer) transfer.TargetLink {
	t.Helper()
	l, err := d.OpenTarget(ctx, "n2")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	if err := l.Send(ctx, &transfer.Open{Owner: "n1", ID: "t", Dest: "/b/\xff"}); err != nil {
		t.Fatal(err)
	}
	return l
}

func ping(t *testing.T, l transfer.TargetLink) {
	t.Helper()
	if err := l.Send(t.Context(), &transfer.Ping{Seq: 7}); err != nil {
		t.Fatal(err)
	}
	m, err := l.Recv(t.Context())
	if p, ok := m.(*transfer.Pong); err != nil || !ok || p.Seq != 7 {
		t.Fatalf("got %#v, %v, not the pong", m, err)
	}
}

// wantReason checks the reason of an error that must be a *transfer.Error.
func wantReason(t *testing.T, err error, want transfer.Reason) {
	t.Helper()
	e, ok := errors.AsType[*transfer.Error](err)
	if !ok || e.Reason != want {
		t.Fatalf("error %v, want %s", err, want)
	}
	if e.Node != "n2" {
		t.Errorf("it is of node %q: %v", e.Node, err)
	}
}
