package peer

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	peerv1 "github.com/xferd/xferd/api/peer/v1"
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

	turn   chan struct{}              // of capacity 1: who says Hello
	latest atomic.Pointer[connection] // the last one that was made
	denied atomic.Pointer[error]      // why the last one was refused, or nil
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
	call, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	var p peer.Peer
	r, err := peerv1.NewPeerServiceClient(c.cc).Hello(call, &peerv1.HelloRequest{
		Node: string(c.self.Node), Cluster: c.self.Cluster, Incarnation: c.self.Incarnation, Version: c.self.Version,
	}, grpc.Peer(&p))
	if err != nil {
		return c.unreachable(ctx, err)
	}
	if got := transfer.NodeID(r.GetNode()); got != c.node {
		return c.unreachable(ctx, fmt.Errorf("the node there calls itself %q", word(string(got))))
	}
	if got := r.GetCluster(); got != c.self.Cluster {
		return c.unreachable(ctx, fmt.Errorf("the node there is of cluster %q, not %q", word(got), c.self.Cluster))
	}
	if at, ok := p.AuthInfo.(*connection); ok {
		at.proved.Store(true)
	}
	return nil
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
	code := status.Code(err)
	denied := c.denied.Load()
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case code == codes.Unavailable && denied != nil:
		// In gRPC's error it is only text.
		code, err = codes.PermissionDenied, *denied
	}
	e := &transfer.Error{
		Reason: transfer.PeerUnreachable, Side: transfer.SideTarget, Phase: transfer.PhaseConnect, Node: c.node,
		Err: fmt.Errorf("node %s at %s: %w", c.node, c.addr.HostPort, err),
	}
	switch code {
	case codes.PermissionDenied, codes.Unauthenticated:
		e.Reason, e.Hint = transfer.PermissionDenied, "the node does not let this one in"
		if denied != nil {
			e.Hint = "find out what listens there; it is not the node"
		}
	case codes.FailedPrecondition:
		e.Hint = "both nodes must be of one cluster"
	default:
		e.Hint = "is xferd running there, and is its control address reachable from here?"
	}
	return e
}
