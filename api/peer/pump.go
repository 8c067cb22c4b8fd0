package peer

import (
	"context"
	"errors"
)

var errLinkClosed = errors.New("link closed")

// pump reads a gRPC stream, whose blocking receive knows no context but the
// stream's own, so that a receiver can wait for something else as well. It
// holds one message at most, so that gRPC's flow control still acts.
type pump[M any] struct {
	c      chan M
	closed context.Context // ends next before the stream ends
	done   chan struct{}   // closed when run ended; err is set then
	err    error
}

func newPump[M any](closed context.Context) *pump[M] {
	return &pump[M]{c: make(chan M), closed: closed, done: make(chan struct{})}
}

// run ends with the stream. ctx is the stream's.
func (p *pump[M]) run(ctx context.Context, recv func() (M, error)) {
	defer close(p.done)
	for {
		m, err := recv()
		if err != nil {
			p.err = err
			return
		}
		select {
		case p.c <- m:
		case <-ctx.Done():
			p.err = ctx.Err()
			return
		}
	}
}

func (p *pump[M]) next(ctx context.Context) (M, error) {
	var none M
	select {
	case m := <-p.c:
		return m, nil
	case <-p.done:
		return none, p.err
	case <-ctx.Done():
		return none, ctx.Err()
	case <-p.closed.Done():
		return none, context.Cause(p.closed)
	}
}
