package server

import (
	"context"
	"fmt"

	"google.golang.org/grpc/metadata"

	"github.com/xferd/xferd/transfer"
)

// Caller is who makes a call, and what it may do besides steering its own
// transfers.
type Caller struct {
	Principal string
	// Admin sees and steers the transfers of everybody, and drains nodes.
	Admin bool
	// Node: it is a node of the cluster, which may speak for others.
	Node bool
}

// Guard decides who calls and which paths of this node it may use. Its errors
// are *transfer.Error (UNAUTHENTICATED, PERMISSION_DENIED, PATH_NOT_ALLOWED,
// EXPORT_READ_ONLY). It must not block for long.
type Guard interface {
	// Caller finds out who makes the call of ctx, from the TLS identity or the
	// credentials of the socket.
	Caller(ctx context.Context) (Caller, error)
	// Behalf says what a principal may, for whom a node forwards a call. The
	// rules are those of this node.
	Behalf(ctx context.Context, node Caller, principal string) (Caller, error)
	// Path tells whether the caller may read or write an absolute, clean path.
	// Whether the path lies in an export is not its business.
	Path(ctx context.Context, c Caller, path string, write bool) error
}

// Metadata of calls that one node forwards to another. A call that has them is
// never forwarded again. They count only from a node.
const (
	forwardedByKey = "xferd-forwarded-by"
	principalKey   = "xferd-principal-bin" // binary: a principal may be any text
)

// call is what the interceptors found out about a call.
type call struct {
	Caller
	forwardedBy string // node id; empty for one that comes from outside
}

type callKey struct{}

// callOf returns what the interceptors stored; without them nobody is anybody.
func callOf(ctx context.Context) call {
	c, _ := ctx.Value(callKey{}).(call)
	return c
}

// authenticate stores the caller in the context.
func (s *Server) authenticate(ctx context.Context) (context.Context, error) {
	who, err := s.cfg.Guard.Caller(ctx)
	if err != nil {
		return nil, err
	}
	c := call{Caller: who}
	md, _ := metadata.FromIncomingContext(ctx)
	by, behalf := md.Get(forwardedByKey), md.Get(principalKey)
	if len(by) > 0 || len(behalf) > 0 {
		if !who.Node {
			return nil, s.denied("%q may not speak for others: it is no node of this cluster", who.Principal)
		}
		if len(by) != 1 || len(behalf) != 1 || !transfer.CheckNodeID(by[0]) {
			return nil, s.denied("the metadata of a forwarded call is not valid")
		}
		who, err := s.cfg.Guard.Behalf(ctx, c.Caller, behalf[0])
		if err != nil {
			return nil, err
		}
		who.Node = false
		c = call{Caller: who, forwardedBy: by[0]}
	}
	return context.WithValue(ctx, callKey{}, c), nil
}

// forwarding returns a context for the same call at another node.
func (s *Server) forwarding(ctx context.Context) context.Context {
	return metadata.NewOutgoingContext(ctx, metadata.Pairs(
		forwardedByKey, string(s.cfg.Self),
		principalKey, callOf(ctx).Principal,
	))
}

// sees reports whether the caller may know of a transfer.
func (c *call) sees(t *transfer.Transfer) bool { return c.Admin || t.Spec.Principal == c.Principal }

// admin returns an error unless the caller is an administrator.
func (s *Server) admin(ctx context.Context, what string) error {
	if c := callOf(ctx); !c.Admin {
		return s.denied("%q may not %s: that is for administrators", c.Principal, what)
	}
	return nil
}

func (s *Server) denied(format string, args ...any) error {
	return &transfer.Error{Reason: transfer.PermissionDenied, Side: transfer.SideClient, Node: s.cfg.Self, Err: fmt.Errorf(format, args...)}
}
