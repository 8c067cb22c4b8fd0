package rdma

import (
	"context"
	"fmt"
)

// CompletionChannel wakes those who wait for completions.
type CompletionChannel struct {
	life
	d   DriverChannel
	dev *Device
}

// Wait blocks until a completion queue of the channel has an event that was
// asked for, ctx ends, or the channel is closed (ErrClosed). It parks the
// goroutine and holds no thread. It may return without a completion to be had:
// ask again with RequestNotify and Poll. One goroutine waits at a time.
func (c *CompletionChannel) Wait(ctx context.Context) error {
	// Not under enter: Close has to be possible while this blocks.
	c.mu.RLock()
	closed := c.closed
	c.mu.RUnlock()
	if closed {
		return fmt.Errorf("%w: %s", ErrClosed, c.kind)
	}
	return c.d.Wait(ctx)
}

// Close ends the channel; see ibv_destroy_comp_channel(3).
func (c *CompletionChannel) Close() error {
	return c.end(func() error {
		return verb(c.dev.name, "ibv_destroy_comp_channel", c.sys.blocking(c.d.Close), nil)
	})
}

// CompletionQueue tells what became of work requests.
type CompletionQueue struct {
	life
	d   DriverCQ
	dev *Device
}

// RequestNotify asks for one event on the channel at the next completion; with
// solicitedOnly, at the next one that the peer marked, or that failed. What is in
// the queue already gives none: Poll after it, before waiting. See
// ibv_req_notify_cq(3).
func (q *CompletionQueue) RequestNotify(solicitedOnly bool) error {
	if err := q.enter(); err != nil {
		return err
	}
	defer q.leave()
	return verb(q.dev.name, "ibv_req_notify_cq", q.d.RequestNotify(solicitedOnly), nil)
}

// Poll takes completions out of the queue, at most len(wcs), and returns how
// many; see ibv_poll_cq(3). An error means that the queue is lost. Does not
// block or allocate.
func (q *CompletionQueue) Poll(wcs []WorkCompletion) (int, error) {
	if err := q.enter(); err != nil {
		return 0, err
	}
	n, err := q.d.Poll(wcs)
	q.leave()
	if err != nil {
		return n, verb(q.dev.name, "ibv_poll_cq", err, nil)
	}
	return n, nil
}

// Close ends the queue; see ibv_destroy_cq(3). Its queue pairs are closed before.
func (q *CompletionQueue) Close() error {
	return q.end(func() error {
		return verb(q.dev.name, "ibv_destroy_cq", q.sys.blocking(q.d.Close), nil)
	})
}
