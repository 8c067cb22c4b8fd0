package client

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// deadlineSlack is how much earlier than ours the server's timer of a call's
// deadline may go off.
const deadlineSlack = time.Second

// atDeadline gives an error that came at the deadline the deadline's name. The
// server is told of the deadline and resets the stream when it passes; where its
// timer goes off first, the call ends as CANCELLED here although nobody
// cancelled, and a moment before ctx ends.
func atDeadline(ctx context.Context, err error) error {
	if c := status.Code(err); c != codes.Canceled && c != codes.DeadlineExceeded {
		return err
	}
	if d, ok := ctx.Deadline(); !ok || time.Until(d) >= deadlineSlack {
		return err
	}
	<-ctx.Done() // bounded by the slack; the caller sees one thing, not two
	if ctx.Err() == context.DeadlineExceeded {
		return status.FromContextError(ctx.Err()).Err()
	}
	return err
}

func unaryDeadline(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
	return atDeadline(ctx, invoke(ctx, method, req, reply, cc, o...))
}

func streamDeadline(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := open(ctx, desc, cc, method, o...)
	if err != nil {
		return nil, atDeadline(ctx, err)
	}
	return deadlineStream{s, ctx}, nil
}

type deadlineStream struct {
	grpc.ClientStream
	call context.Context // the caller's; that of the stream ends with the stream
}

func (s deadlineStream) RecvMsg(m any) error {
	return atDeadline(s.call, s.ClientStream.RecvMsg(m))
}
