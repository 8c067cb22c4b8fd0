package server

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

// ours reports whether a method belongs to the API: others (health, reflection,
// the peer service) authenticate on their own.
func ours(method string) bool { return strings.HasPrefix(method, "/xfer.v1.") }

func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	defer func() {
		if p := recover(); p != nil {
			resp, err = nil, s.panicked(info.FullMethod, p)
		}
		if err != nil {
			resp, err = nil, s.status(ctx, info.FullMethod, err)
		}
	}()
	if ours(info.FullMethod) {
		if ctx, err = s.authenticate(ctx); err != nil {
			return nil, err
		}
		c, cancel := context.WithTimeout(ctx, timeoutOf(info.FullMethod))
		defer cancel()
		ctx = c
	}
	return next(ctx, req)
}

// timeoutOf is how long a call without a stream may take.
func timeoutOf(method string) time.Duration {
	if method == xferv1.RegionService_CreateRegion_FullMethodName {
		return createTimeout
	}
	return unaryTimeout
}

func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer func() {
		// An edge of a transfer lives in the stream of another node: what it had in
		// memory may be wrong, and the process ends.
		if ours(info.FullMethod) {
			if p := recover(); p != nil {
				err = s.panicked(info.FullMethod, p)
			}
		}
		if err != nil {
			err = s.status(ss.Context(), info.FullMethod, err)
		}
	}()
	if ours(info.FullMethod) {
		ctx, err := s.authenticate(ss.Context())
		if err != nil {
			return err
		}
		ss = &streamWithContext{ServerStream: ss, ctx: ctx}
	}
	return next(srv, ss)
}

type streamWithContext struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *streamWithContext) Context() context.Context { return s.ctx }

// panicked turns a panic of a handler into INTERNAL. Handlers of the API hold no state
// that a panic could leave half changed; the engine does not run in them.
func (s *Server) panicked(method string, p any) error {
	s.cfg.Log.Error("handler panicked", "method", method, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	return &transfer.Error{
		Reason: transfer.Internal, Side: transfer.SideOwner, Node: s.cfg.Self,
		Err: fmt.Errorf("the handler of %s panicked", method), Hint: "the node's log has the details; report it as a bug",
	}
}
