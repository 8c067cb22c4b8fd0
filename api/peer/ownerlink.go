package peer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	peerv1 "github.com/xferd/xferd/api/peer/v1"
	"github.com/xferd/xferd/transfer"
)

// ownerLink is the target's end of a stream.
type ownerLink struct {
	ctx    context.Context // of the link: ends with the stream and by Close
	cancel context.CancelCauseFunc
	stream grpc.BidiStreamingServer[peerv1.ToTarget, peerv1.ToOwner]
	in     *pump[*peerv1.ToTarget]
	parts  targetJoin        // of Recv
	first  transfer.ToTarget // received already

	turn chan struct{} // of capacity 1: who sends
	wg   *sync.WaitGroup
}

func newOwnerLink(ctx context.Context, cancel context.CancelCauseFunc, stream grpc.BidiStreamingServer[peerv1.ToTarget, peerv1.ToOwner], wg *sync.WaitGroup) *ownerLink {
	return &ownerLink{
		ctx: ctx, cancel: cancel, stream: stream, in: newPump[*peerv1.ToTarget](ctx),
		parts: targetJoin{digests: maxDigests, ranges: transfer.MaxPlaces}, turn: make(chan struct{}, 1), wg: wg,
	}
}

// errBadMessage says that the owner sent what cannot be understood.
var errBadMessage = errors.New("message of the owner")

// open receives the first message, and leaves it to be received again. Its
// errors are of gRPC.
func (l *ownerLink) open() (*transfer.Open, error) {
	ctx, cancel := context.WithTimeout(l.ctx, openTimeout)
	defer cancel()
	first, err := l.Recv(ctx)
	if errors.Is(err, errBadMessage) {
		return nil, status.Errorf(codes.InvalidArgument, "first message: %v", err)
	}
	if err != nil {
		return nil, status.Errorf(codes.Unavailable, "first message: %v", err)
	}
	open, ok := first.(*transfer.Open)
	if !ok {
		return nil, status.Errorf(codes.InvalidArgument, "first message is %T, not Open", first)
	}
	l.first = open
	return open, nil
}

// Send blocks while the owner does not read. Nothing but the end of the stream
// ends gRPC's send then, and the stream ends only after its handler returned: so
// that the handler can, Send leaves the message to a goroutine when ctx ends.
// Nothing else is sent on the link before that one.
func (l *ownerLink) Send(ctx context.Context, m transfer.ToOwner) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-l.ctx.Done():
		return context.Cause(l.ctx)
	}
	sent := make(chan error, 1)
	l.wg.Go(func() {
		sent <- sendToOwner(m, l.stream.Send)
		<-l.turn
	})
	select {
	case err := <-sent:
		return err
	case <-ctx.Done():
	case <-l.ctx.Done():
	}
	select {
	case err := <-sent: // the owner may end the stream on the last message
		return err
	default:
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return context.Cause(l.ctx)
}

// Recv returns io.EOF where the owner ended its side well.
func (l *ownerLink) Recv(ctx context.Context) (transfer.ToTarget, error) {
	if m := l.first; m != nil {
		l.first = nil
		return m, nil
	}
	for {
		p, err := l.in.next(ctx)
		if err != nil {
			return nil, err
		}
		m, err := l.parts.add(p)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errBadMessage, err)
		}
		if m != nil {
			return m, nil
		}
	}
}

// Close makes Serve's caller end the stream.
func (l *ownerLink) Close() error {
	l.cancel(errLinkClosed)
	return nil
}
