package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	peerv1 "github.com/xferd/xferd/api/peer/v1"
	"github.com/xferd/xferd/internal/trust"
	"github.com/xferd/xferd/transfer"
)

const helloTimeout = 10 * time.Second

// nodeConn is the channel to one life of a node. Below it gRPC makes one
// connection after the other.
type nodeConn struct {
	self Identity
	node transfer.NodeID
	addr Address
	cc   *grpc.ClientConn

	turn   chan struct{}                           // of capacity 1: who says Hello
	latest atomic.Pointer[connection]              // the last one that was made
	failed atomic.Pointer[context.CancelCauseFunc] // ends the Hello that waits for a connection
}

// attemptError is why a connection could not be made. gRPC keeps its text only,
// and for as long as its back-off lasts.
type attemptError struct{ error }

func (e attemptError) Unwrap() error { return e.error }

func (c *nodeConn) attemptFailed(err error) {
	if end := c.failed.Load(); end != nil {
		(*end)(attemptError{err})
	}
}

// dial is gRPC's dialer. No proxy of the environment stands between nodes.
func (c *nodeConn) dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		c.attemptFailed(err)
	}
	return conn, err
}

// hello makes sure, once per connection, that the address still belongs to the
// node that is meant: addresses are given to others after a restart.
func (c *nodeConn) hello(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return c.unreachable(ctx, ctx.Err())
	}
	if l := c.latest.Load(); l != nil && l.proved.Load() && c.cc.GetState() == connectivity.Ready {
		return nil
	}
	r, at, err := c.ask(ctx)
	if status.Code(err) == codes.Unavailable {
		r, at, err = c.ask(ctx) // the connection ended under the call
	}
	if err != nil {
		return c.unreachable(ctx, err)
	}
	if got := transfer.NodeID(r.GetNode()); got != c.node {
		return c.unreachable(ctx, fmt.Errorf("the node there calls itself %q", word(string(got))))
	}
	if got := r.GetCluster(); got != c.self.Cluster {
		return c.unreachable(ctx, status.Errorf(codes.FailedPrecondition, "node %s is of cluster %q, not %q", c.node, word(got), c.self.Cluster))
	}
	if at != nil {
		at.proved.Store(true)
	}
	return nil
}

// ask says Hello, over a new connection where there is none, and returns the
// connection that it was. An attemptError says that none could be made.
func (c *nodeConn) ask(ctx context.Context) (*peerv1.HelloResponse, *connection, error) {
	timed, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	call, failed := context.WithCancelCause(timed)
	defer failed(nil)
	c.failed.Store(&failed)
	defer c.failed.Store(nil)
	c.cc.ResetConnectBackoff()
	var p peer.Peer
	// Without waiting, gRPC would answer at once with the error of the attempt
	// before this one, though the node may be back.
	r, err := peerv1.NewPeerServiceClient(c.cc).Hello(call, &peerv1.HelloRequest{
		Node: string(c.self.Node), Cluster: c.self.Cluster, Incarnation: c.self.Incarnation, Version: c.self.Version,
	}, grpc.Peer(&p), grpc.WaitForReady(true))
	if err != nil {
		if e, ok := errors.AsType[attemptError](context.Cause(call)); ok {
			err = e
		}
		return nil, nil, err
	}
	at, _ := p.AuthInfo.(*connection)
	return r, at, nil
}

// proved tells whether the call that ctx is of runs over a connection on which
// the right node answered Hello.
func proved(ctx context.Context) bool {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return false
	}
	at, ok := p.AuthInfo.(*connection)
	return ok && at.proved.Load()
}

// unreachable gives a failed call its reason. Where ctx ended, that is the
// cause. The code Canceled is none of its own: the connection was closed under
// the call, since the node moved or one of both stops.
func (c *nodeConn) unreachable(ctx context.Context, err error) *transfer.Error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	e := &transfer.Error{
		Reason: transfer.PeerUnreachable, Side: transfer.SideTarget, Phase: transfer.PhaseConnect, Node: c.node,
		Err:  fmt.Errorf("node %s at %s: %w", c.node, c.addr.HostPort, plain(err)),
		Hint: "is xferd running there, and is its control address reachable from here?",
	}
	switch code := status.Code(err); {
	case errors.Is(err, trust.ErrDenied):
		// Whoever sits at the address of a node that is down keeps transfers
		// waiting, as if nobody did, and cannot make them fail.
		e.Hint = "find out what listens there; it is not the node, which is waited for"
	case code == codes.PermissionDenied, code == codes.Unauthenticated:
		e.Reason, e.Hint = transfer.PermissionDenied, "the node does not let this one in"
	case code == codes.FailedPrecondition:
		e.Hint = "both nodes must be of one cluster"
	}
	return e
}
