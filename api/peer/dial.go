package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	peerv1 "github.com/xferd/xferd/api/peer/v1"
	"github.com/xferd/xferd/transfer"
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

// OpenTarget opens an edge's control stream. ctx bounds the whole life of the
// stream, not only its opening. Its errors are *transfer.Error.
func (d *Dialer) OpenTarget(ctx context.Context, node transfer.NodeID) (transfer.TargetLink, error) {
	c, err := d.conn(node)
	if err != nil {
		return nil, err
	}
	// gRPC connects again by itself: the stream may be on another connection
	// than the one that was asked just before.
	for range 3 {
		if err := c.hello(ctx); err != nil {
			return nil, err
		}
		sctx, cancel := context.WithCancelCause(ctx)
		stream, err := peerv1.NewPeerServiceClient(c.cc).Edge(sctx)
		if err != nil {
			cancel(nil)
			return nil, c.unreachable(ctx, err)
		}
		if !proved(stream.Context()) {
			cancel(errLinkClosed)
			continue
		}
		l := &targetLink{conn: c, stream: stream, cancel: cancel, in: newPump[*peerv1.ToOwner](sctx), answers: answerJoin{limit: maxRanges}}
		l.wg.Go(func() { l.in.run(stream.Context(), stream.Recv) })
		return l, nil
	}
	return nil, c.unreachable(ctx, errors.New("the connection does not last"))
}

// Conn returns the connection to a node, for other services of it. The Dialer
// keeps owning it. Its errors are of the owner's side: calls that are not of an
// edge go to the owner.
func (d *Dialer) Conn(ctx context.Context, node transfer.NodeID) (grpc.ClientConnInterface, error) {
	c, err := d.conn(node)
	if err != nil {
		return nil, ofOwner(err)
	}
	if err := c.hello(ctx); err != nil {
		return nil, ofOwner(err)
	}
	return c.cc, nil
}

// ofOwner says of an error, which is told as that of a target, that it is of an
// owner.
func ofOwner(err error) error {
	e, ok := errors.AsType[*transfer.Error](err)
	if !ok || e.Side != transfer.SideTarget {
		return err
	}
	own := *e
	own.Side = transfer.SideOwner
	if own.Reason == transfer.PeerUnreachable {
		own.Reason = transfer.OwnerUnreachable
	}
	return &own
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
			return c, nil
		}
		_ = c.cc.Close()
		delete(d.conns, node)
	}
	c := &nodeConn{self: d.Self, node: node, addr: addr, turn: make(chan struct{}, 1)}
	c.cc, err = grpc.NewClient("passthrough:///"+addr.HostPort,
		grpc.WithContextDialer(c.dial),
		grpc.WithTransportCredentials(vouching{d.Credentials, c}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxRecv), grpc.MaxCallSendMsgSize(maxSend)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		// Entries and results come in large batches.
		grpc.WithInitialWindowSize(4<<20), grpc.WithInitialConnWindowSize(8<<20),
	)
	if err != nil {
		return nil, c.unreachable(context.Background(), fmt.Errorf("dial: %w", err))
	}
	if d.conns == nil {
		d.conns = map[transfer.NodeID]*nodeConn{}
	}
	d.conns[node] = c
	return c, nil
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
