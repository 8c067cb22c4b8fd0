package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	peerv1 "github.com/xferd/xferd/api/peer/v1"
	"github.com/xferd/xferd/transfer"
)

const versionsHint = "do both nodes run versions of xferd that belong together?"

// targetLink is the owner's end of a stream.
type targetLink struct {
	conn    *nodeConn
	stream  grpc.BidiStreamingClient[peerv1.ToTarget, peerv1.ToOwner]
	in      *pump[*peerv1.ToOwner]
	cancel  context.CancelCauseFunc
	wg      sync.WaitGroup
	answers answerJoin // of Recv

	mu sync.Mutex // serialises Send
}

// Send blocks while the target does not read. The end of ctx in the middle of
// it ends the stream.
func (l *targetLink) Send(ctx context.Context, m transfer.ToTarget) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// A peer that stopped reading blocks Send by flow control; ctx has to end
	// that too, and with gRPC only the stream's own context can.
	stop := context.AfterFunc(ctx, func() { l.cancel(ctx.Err()) })
	defer stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := sendToTarget(m, l.stream.Send); err != nil {
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

// Recv returns io.EOF where the target ended the stream well.
func (l *targetLink) Recv(ctx context.Context) (transfer.ToOwner, error) {
	for {
		p, err := l.in.next(ctx)
		if err != nil {
			return nil, l.lost(ctx, err)
		}
		m, err := l.answers.add(p)
		if err != nil {
			return nil, l.protocol(fmt.Errorf("message of the target: %w", err))
		}
		if m != nil {
			return m, nil
		}
	}
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
	switch status.Code(err) {
	case codes.InvalidArgument, codes.Unimplemented, codes.ResourceExhausted:
		return l.protocol(err) // trying again would not help
	}
	e := l.conn.unreachable(ctx, err)
	if e.Reason == transfer.PeerUnreachable {
		e.Reason, e.Hint = transfer.PeerLost, ""
	}
	return e
}

func (l *targetLink) protocol(err error) *transfer.Error {
	return &transfer.Error{
		Reason: transfer.ProtocolError, Side: transfer.SideTarget, Phase: transfer.PhaseConnect, Node: l.conn.node,
		Err: plain(err), Hint: versionsHint,
	}
}

// Close ends the stream and returns after nothing reads from it any more.
func (l *targetLink) Close() error {
	l.cancel(errLinkClosed)
	l.wg.Wait()
	return nil
}
