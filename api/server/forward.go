package server

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

// route returns a connection to the node that a call belongs to, or nil when
// that is this one. A call that was forwarded here for another node is not
// forwarded again: one hop, never a loop.
func (s *Server) route(ctx context.Context, node transfer.NodeID) (grpc.ClientConnInterface, error) {
	if node == s.cfg.Self {
		return nil, nil
	}
	if c := callOf(ctx); c.forwardedBy != "" {
		return nil, &transfer.Error{
			Reason: transfer.OwnerUnreachable, Side: transfer.SideOwner, Phase: transfer.PhaseConnect, Node: node,
			Err:  fmt.Errorf("%s forwarded a call for %s to %s", c.forwardedBy, node, s.cfg.Self),
			Hint: "the nodes disagree on who is who: compare «xferctl nodes» on both",
		}
	}
	return s.cfg.Forwarder.Conn(ctx, node)
}

// elsewhere makes a call at the node that it belongs to, and returns nil and no
// error when that is this one. C is the client type of the service.
func elsewhere[C, Req, Resp any](s *Server, ctx context.Context, node transfer.NodeID, newClient func(grpc.ClientConnInterface) C,
	method func(C, context.Context, *Req, ...grpc.CallOption) (*Resp, error), req *Req,
) (*Resp, error) {
	conn, err := s.route(ctx, node)
	if conn == nil || err != nil {
		return nil, err
	}
	resp, err := method(newClient(conn), s.forwarding(ctx), req)
	if err != nil {
		return nil, remoteError(ctx, node, err)
	}
	return resp, nil
}

// unknownSource says of a node that nobody knows that it was named as the source:
// the node that would own a transfer is not known by another name.
func unknownSource(err error) error {
	e, ok := errors.AsType[*transfer.Error](err)
	if !ok || e.Reason != transfer.NodeUnknown {
		return err
	}
	own := *e
	own.Side = transfer.SideSource
	return &own
}

// onTheWay is what happened to a call, without what gRPC puts around it.
func onTheWay(st *status.Status) string {
	if st.Code() == codes.DeadlineExceeded {
		return "it did not answer in time"
	}
	text := strings.TrimPrefix(st.Message(), "connection error: ")
	return strings.TrimSuffix(strings.TrimPrefix(text, `desc = "`), `"`)
}

// remoteError returns the error of a call to another node. What that node
// answered stays as it is; what happened on the way is told as such.
func remoteError(ctx context.Context, node transfer.NodeID, err error) error {
	if _, ok := errors.AsType[*transfer.Error](err); ok {
		return err
	}
	st, ok := status.FromError(err)
	if !ok {
		st = status.FromContextError(err)
	}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == xferv1.Domain {
			return st.Err()
		}
	}
	e := &transfer.Error{Reason: transfer.Internal, Side: transfer.SideOwner, Phase: transfer.PhaseConnect, Node: node, Err: errors.New(onTheWay(st))}
	switch st.Code() {
	case codes.Unavailable, codes.Unauthenticated:
		e.Reason, e.Hint = transfer.OwnerUnreachable, "is xferd running there, and can this node reach its control port?"
	case codes.DeadlineExceeded:
		e.Reason = transfer.DeadlineExceeded
		if ctx.Err() == nil { // a limit of ours, not of the caller
			e.Reason = transfer.OwnerUnreachable
		}
	case codes.Canceled:
		e.Reason = transfer.Cancelled
		if ctx.Err() == nil { // the connection was closed
			e.Reason = transfer.OwnerUnreachable
		}
	case codes.Unimplemented:
		e.Reason, e.Hint = transfer.Unsupported, "that node runs an older xferd"
	case codes.ResourceExhausted:
		e.Reason, e.Hint = transfer.InvalidSpec, "the request is larger than the node takes"
	}
	return e
}
