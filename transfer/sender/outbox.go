package sender

import (
	"context"
	"sync"

	"github.com/xferd/xferd/transfer"
)

// outbox holds the messages that wait for the control stream, in order, so that
// who makes them never waits for the target. Its size is bounded by the entry
// credits.
type outbox struct {
	mu    sync.Mutex
	queue []transfer.ToTarget
	wake  chan struct{} // of capacity 1
}

func (o *outbox) init() { o.wake = make(chan struct{}, 1) }

// post appends a message. Single ends of entries are gathered while they wait.
func (o *outbox) post(m transfer.ToTarget) {
	o.mu.Lock()
	o.queue = append(o.queue, m)
	o.mu.Unlock()
	o.poke()
}

func (o *outbox) postDone(d transfer.EntryDone) {
	o.mu.Lock()
	if n := len(o.queue); n > 0 {
		if last, ok := o.queue[n-1].(*transfer.EntriesDone); ok && len(last.Done) < maxBatch {
			last.Done = append(last.Done, d)
			o.mu.Unlock()
			return // whoever posted the first one poked
		}
	}
	o.queue = append(o.queue, &transfer.EntriesDone{Done: []transfer.EntryDone{d}})
	o.mu.Unlock()
	o.poke()
}

func (o *outbox) poke() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *outbox) take() []transfer.ToTarget {
	o.mu.Lock()
	defer o.mu.Unlock()
	q := o.queue
	o.queue = nil
	return q
}

// run sends what is posted until ctx ends.
func (o *outbox) run(ctx context.Context, link transfer.TargetLink) error {
	for {
		for _, m := range o.take() {
			if err := link.Send(ctx, m); err != nil {
				return err
			}
		}
		select {
		case <-o.wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
