package node

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/xferd/xferd/api/server"
	"github.com/xferd/xferd/internal/trust"
	"github.com/xferd/xferd/transfer"
)

// guard is the policy before there are certificates and rules: root and the
// user of this process may do everything, everybody else nothing. With
// insecure: true callers from other hosts, whom nothing proves, are let in too.
type guard struct {
	insecure bool
	self     transfer.NodeID
}

func (g guard) Caller(ctx context.Context) (server.Caller, error) {
	c, ok := trust.CallerFrom(ctx)
	if !ok {
		return server.Caller{}, g.denied(transfer.Unauthenticated, errors.New("nothing is known of the caller"))
	}
	if g.insecure && !c.Known {
		return server.Caller{Principal: c.Principal(), Admin: true, Node: true}, nil
	}
	if err := trust.Allowed(c); err != nil {
		return server.Caller{}, g.denied(transfer.PermissionDenied, err)
	}
	// A node of this machine calls over TCP; it may speak for others.
	return server.Caller{Principal: c.Principal(), Admin: true, Node: c.Via == "tcp"}, nil
}

// Behalf is for a call that another node forwards: its caller was let in there
// by the same policy.
func (g guard) Behalf(_ context.Context, _ server.Caller, principal string) (server.Caller, error) {
	return server.Caller{Principal: principal, Admin: true}, nil
}

// Path allows every path: the exports are the only bound until there are rules.
func (g guard) Path(context.Context, server.Caller, string, bool) error { return nil }

// node authorises the calls of other nodes.
func (g guard) node(ctx context.Context) error {
	if _, err := g.Caller(ctx); err != nil {
		return status.Error(codes.PermissionDenied, err.Error())
	}
	return nil
}

func (g guard) denied(r transfer.Reason, err error) error {
	return &transfer.Error{Reason: r, Side: transfer.SideClient, Node: g.self, Err: err,
		Hint: "call as root or as the user that xferd runs as"}
}
