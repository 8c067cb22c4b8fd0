package transfer

import (
	"context"
	"io"
	"sync"
)

// Pipe returns the two ends of a control stream inside one process, for an edge
// whose owner and target are one node. It buffers a few messages each way and
// hands them over as they are. After either end closed, what is buffered can
// still be received, then Recv returns io.EOF and Send io.ErrClosedPipe.
func Pipe() (TargetLink, OwnerLink) {
	a, b := make(chan ToTarget, 16), make(chan ToOwner, 16)
	done := make(chan struct{})
	closeOnce := sync.OnceFunc(func() { close(done) })
	return &pipeEnd[ToTarget, ToOwner]{out: a, in: b, done: done, close: closeOnce},
		&pipeEnd[ToOwner, ToTarget]{out: b, in: a, done: done, close: closeOnce}
}

type pipeEnd[Out, In any] struct {
	out   chan Out
	in    chan In
	done  chan struct{}
	close func()
}

func (p *pipeEnd[Out, In]) Send(ctx context.Context, m Out) error {
	select {
	case <-p.done:
		return io.ErrClosedPipe
	default:
	}
	select {
	case p.out <- m:
		return nil
	case <-p.done:
		return io.ErrClosedPipe
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pipeEnd[Out, In]) Recv(ctx context.Context) (In, error) {
	var none In
	select {
	case m := <-p.in:
		return m, nil
	default:
	}
	select {
	case m := <-p.in:
		return m, nil
	case <-p.done:
		select { // what was sent before the close
		case m := <-p.in:
			return m, nil
		default:
			return none, io.EOF
		}
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

func (p *pipeEnd[Out, In]) Close() error {
	p.close()
	return nil
}
