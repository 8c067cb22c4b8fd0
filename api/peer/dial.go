package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	peerv1 "github.com/xferd/xferd/api/peer/v1"
	"github.com/xferd/xferd/transfer"
)

const (
	helloTimeout = 10 * time.Second
	// maxMessage bounds one control message. The largest are entries with all
	// the extended attributes that they may have.
	maxMessage = 64 << 20
)

// Address is where a node is reached, and which of its lives it is.
type Address struct{ HostPort, Instance string }

// Dialer opens control streams to other nodes. It keeps one connection per
// node and life.
type Dialer struct {
	Self        Identity
	Credentials credentials.TransportCredentials
	// Lookup returns a node's address. Its error is a *transfer.Error.
	Lookup func(node transfer.NodeID) (Address, error)

	mu     sync.Mutex
	conns  map[transfer.NodeID]*nodeConn
	closed bool
}

type nodeConn struct {
	addr Address
	cc   *grpc.ClientConn

	mu    sync.Mutex
	known bool // Hello was answered by the right node
}

// OpenTarget opens an edge's control stream. ctx bounds the whole life of the
// stream, not only its opening.
func (d *Dialer) OpenTarget(ctx context.Context, node transfer.NodeID) (transfer.TargetLink, error) {
	c, err := d.conn(node)
	if err != nil {
		return nil, err
	}
	if err := c.hello(ctx, d.Self, node); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stream, err := peerv1.NewPeerServiceClient(c.cc).Edge(ctx)
	if err != nil {
		cancel(nil)
		return nil, unreachable(node, c.addr, err)
	}
	l := &targetLink{node: node, addr: c.addr, stream: stream, cancel: cancel, in: newPump[*peerv1.ToOwner]()}
	l.wg.Go(func() { l.in.run(stream.Context(), stream.Recv) })
	return l, nil
}

// Conn returns the connection to a node, for other services of it. The Dialer
// keeps owning it.
func (d *Dialer) Conn(ctx context.Context, node transfer.NodeID) (grpc.ClientConnInterface, error) {
	c, err := d.conn(node)
	if err != nil {
		return nil, err
	}
	if err := c.hello(ctx, d.Self, node); err != nil {
		if e, ok := errors.AsType[*transfer.Error](err); ok && e.Reason == transfer.PeerUnreachable {
			e.Reason, e.Side = transfer.OwnerUnreachable, transfer.SideOwner
		}
		return nil, err
	}
	return c.cc, nil
}

func (d *Dialer) conn(node transfer.NodeID) (*nodeConn, error) {
	addr, err := d.Lookup(node)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, &transfer.Error{Reason: transfer.NodeStopping, Side: transfer.SideOwner, Phase: transfer.PhaseConnect, Node: d.Self.Node, Err: net.ErrClosed}
	}
	if c := d.conns[node]; c != nil {
		if c.addr == addr {
			// gRPC's own back-off would hold off what the caller decided to try.
			c.cc.ResetConnectBackoff()
			return c, nil
		}
		_ = c.cc.Close()
	}
	cc, err := grpc.NewClient("passthrough:///"+addr.HostPort,
		grpc.WithTransportCredentials(d.Credentials),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		// Entries and results come in large batches.
		grpc.WithInitialWindowSize(4<<20), grpc.WithInitialConnWindowSize(8<<20),
	)
	if err != nil {
		return nil, unreachable(node, addr, err)
	}
	if d.conns == nil {
		d.conns = map[transfer.NodeID]*nodeConn{}
	}
	c := &nodeConn{addr: addr, cc: cc}
	d.conns[node] = c
	return c, nil
}

// hello makes sure, once per connection, that the address still belongs to the
// node that is meant: addresses are given to others after a restart.
func (c *nodeConn) hello(ctx context.Context, self Identity, node transfer.NodeID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	r, err := peerv1.NewPeerServiceClient(c.cc).Hello(ctx, &peerv1.HelloRequest{
		Node: string(self.Node), Cluster: self.Cluster, Incarnation: self.Incarnation, Version: self.Version,
	})
	if err != nil {
		return unreachable(node, c.addr, err)
	}
	if got := transfer.NodeID(r.GetNode()); got != node {
		return unreachable(node, c.addr, fmt.Errorf("the node there calls itself %s", got))
	}
	c.known = true
	return nil
}

// Close ends all connections. Links that are open fail.
func (d *Dialer) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	var errs []error
	for node, c := range d.conns {
		errs = append(errs, c.cc.Close())
		delete(d.conns, node)
	}
	return errors.Join(errs...)
}

// unreachable gives a failed call its reason. The code Canceled is none of its
// own: the connection was closed under the call, since the node moved or one of
// the two stops. That this side gave up is told by its context.
func unreachable(node transfer.NodeID, a Address, err error) *transfer.Error {
	e := &transfer.Error{
		Reason: transfer.PeerUnreachable, Side: transfer.SideTarget, Phase: transfer.PhaseConnect, Node: node,
		Err:  fmt.Errorf("node %s at %s: %w", node, a.HostPort, err),
		Hint: "is xferd running there, and is its control address reachable from here?",
	}
	switch status.Code(err) {
	case codes.PermissionDenied, codes.Unauthenticated:
		e.Reason, e.Hint = transfer.PermissionDenied, "the node does not let this one in"
	}
	return e
}

// targetLink is the owner's end of a stream.
type targetLink struct {
	node   transfer.NodeID
	addr   Address
	stream grpc.BidiStreamingClient[peerv1.ToTarget, peerv1.ToOwner]
	in     *pump[*peerv1.ToOwner]
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	mu sync.Mutex // serialises Send
}

func (l *targetLink) Send(ctx context.Context, m transfer.ToTarget) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p := encodeToTarget(m)
	// A peer that stopped reading blocks Send by flow control; ctx has to end
	// that too, and with gRPC only the stream's own context can.
	stop := context.AfterFunc(ctx, func() { l.cancel(ctx.Err()) })
	defer stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.stream.Send(p); err != nil {
		if errors.Is(err, io.EOF) { // the stream ended; Recv has its status
			select {
			case <-l.in.done:
				err = l.in.err
			default:
			}
		}
		return l.lost(ctx, err)
	}
	return nil
}

func (l *targetLink) Recv(ctx context.Context) (transfer.ToOwner, error) {
	p, err := l.in.next(ctx)
	if err != nil {
		return nil, l.lost(ctx, err)
	}
	m, err := decodeToOwner(p)
	if err != nil {
		return nil, &transfer.Error{
			Reason: transfer.ProtocolError, Side: transfer.SideTarget, Phase: transfer.PhaseConnect, Node: l.node,
			Err: fmt.Errorf("message of the target: %w", err), Hint: "do both nodes run versions of xferd that belong together?",
		}
	}
	return m, nil
}

// lost gives the end of a stream its reason. A well-ended stream stays io.EOF.
func (l *targetLink) lost(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil {
		return cause
	}
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	if e, ok := errors.AsType[*transfer.Error](err); ok {
		return e
	}
	e := unreachable(l.node, l.addr, err)
	if e.Reason == transfer.PeerUnreachable {
		e.Reason, e.Hint = transfer.PeerLost, ""
	}
	return e
}

// Close ends the stream and returns after nothing reads from it any more.
func (l *targetLink) Close() error {
	l.cancel(errLinkClosed)
	l.wg.Wait()
	return nil
}
