package transporttest

import (
	"context"
	"io"
	"sync"

	"github.com/xferd/xferd/transport"
)

// controlEnd is one end of a control stream inside a process.
type controlEnd struct {
	in     <-chan []byte
	send   chan<- []byte
	mine   chan struct{} // closed with this end
	theirs chan struct{} // closed with the other one
	once   sync.Once
}

// Controls returns both ends of a control stream.
func Controls() (a, b transport.Control) {
	x, y := make(chan []byte, 16), make(chan []byte, 16)
	p, q := make(chan struct{}), make(chan struct{})
	return &controlEnd{in: x, send: y, mine: p, theirs: q}, &controlEnd{in: y, send: x, mine: q, theirs: p}
}

func (c *controlEnd) Send(ctx context.Context, msg []byte) error {
	if len(msg) > transport.MaxControl {
		panic("a control message that is too long")
	}
	select {
	case <-c.theirs:
		return io.ErrClosedPipe
	case <-c.mine:
		return io.ErrClosedPipe
	default:
	}
	select {
	case c.send <- append([]byte(nil), msg...):
		return nil
	case <-c.theirs:
		return io.ErrClosedPipe
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *controlEnd) Receive(ctx context.Context) ([]byte, error) {
	select {
	case msg := <-c.in:
		return msg, nil
	default:
	}
	select {
	case msg := <-c.in:
		return msg, nil
	case <-c.mine:
		return nil, io.ErrClosedPipe
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.theirs:
	}
	select { // what was sent before the end
	case msg := <-c.in:
		return msg, nil
	default:
		return nil, io.EOF
	}
}

func (c *controlEnd) Close() error {
	c.once.Do(func() { close(c.mine) })
	return nil
}

// reach returns how a source opens a control to an edge, where it needs one. The
// sessions that join end with the edge.
func reach(in transport.Incoming) func(context.Context) (transport.Control, error) {
	j, ok := in.(transport.Joiner)
	if !ok {
		return nil
	}
	return func(context.Context) (transport.Control, error) {
		source, target := Controls()
		go j.Join(target) // Close of the edge waits for it
		return source, nil
	}
}
