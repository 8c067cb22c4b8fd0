package memory

import (
	"context"
	"sync"

	"github.com/xferd/xferd/transfer"
)

// outbox sends messages to the owner, in order, without holding up whoever has one.
// An edge has few: those of its one entry, and what its data plane says.
type outbox struct {
	send func(context.Context, transfer.ToOwner) error
	wake chan struct{} // of capacity 1
	done chan struct{} // closed when run returned

	mu     sync.Mutex
	queue  []transfer.ToOwner
	closed bool
}

func newOutbox(send func(context.Context, transfer.ToOwner) error) *outbox {
	return &outbox{send: send, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// run sends until close was called and all is sent, ctx ends, or a send fails.
func (o *outbox) run(ctx context.Context) error {
	defer close(o.done)
	for {
		o.mu.Lock()
		queue, closed := o.queue, o.closed
		o.queue = nil
		o.mu.Unlock()
		for _, m := range queue {
			if err := o.send(ctx, m); err != nil {
				return err
			}
		}
		if len(queue) > 0 {
			continue
		}
		if closed {
			return nil
		}
		select {
		case <-o.wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (o *outbox) post(m transfer.ToOwner) {
	o.mu.Lock()
	o.queue = append(o.queue, m)
	o.mu.Unlock()
	o.poke()
}

// close lets run end once everything is sent.
func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.poke()
}

func (o *outbox) poke() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}
