package rdma

import (
	"fmt"
	"syscall"
)

// QueuePair is a reliable connection: work requests of one end, in order, to
// the other end.
type QueuePair struct {
	life
	d      DriverQP
	dev    *Device
	limits QueuePairLimits
}

// CreateQueuePair makes a queue pair in the state Reset; see ibv_create_qp(3).
// Both queues may be the same. Blocks.
func (p *ProtectionDomain) CreateQueuePair(c QueuePairConfig, send, receive *CompletionQueue) (*QueuePair, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	c.MaxSendSGE, c.MaxReceiveSGE = max(c.MaxSendSGE, 1), max(c.MaxReceiveSGE, 1)
	if c.MaxSend < 0 || c.MaxReceive < 0 || c.MaxInline < 0 || c.MaxSendSGE > MaxSGE || c.MaxReceiveSGE > MaxSGE {
		return nil, fmt.Errorf("%w: queue pair %+v", errAttr, c)
	}
	if err := send.enter(); err != nil {
		return nil, err
	}
	defer send.leave()
	if receive != send { // entering twice would wait for a Close that waits for this
		if err := receive.enter(); err != nil {
			return nil, err
		}
		defer receive.leave()
	}
	q := &QueuePair{dev: p.dev}
	err := p.sys.blocking(func() (err error) {
		q.d, q.limits, err = p.d.CreateQueuePair(c, send.d, receive.d)
		return err
	})
	if err != nil {
		return nil, verb(p.dev.name, "ibv_create_qp", err, hintObjects)
	}
	q.born(p.sys, "queue pair", &p.life, &send.life, &receive.life)
	return q, nil
}

// Number of the queue pair, which the peer needs.
func (q *QueuePair) Number() uint32 { return q.d.Number() }

// Limits are what it has room for.
func (q *QueuePair) Limits() QueuePairLimits { return q.limits }

// ToInit moves it from Reset to Init. Blocks, as all that change the state.
func (q *QueuePair) ToInit(a InitAttr) error {
	if err := a.check(); err != nil {
		return err
	}
	return q.modify("ibv_modify_qp (INIT)", func() error { return q.d.ToInit(a) })
}

// ToReadyToReceive connects it to its peer. It resolves the peer's address,
// which takes seconds where nobody answers.
func (q *QueuePair) ToReadyToReceive(a ReadyToReceiveAttr) error {
	if err := a.check(); err != nil {
		return err
	}
	return q.modify("ibv_modify_qp (RTR)", func() error { return q.d.ToReadyToReceive(a) })
}

// ToReadyToSend lets it send.
func (q *QueuePair) ToReadyToSend(a ReadyToSendAttr) error {
	if err := a.check(); err != nil {
		return err
	}
	return q.modify("ibv_modify_qp (RTS)", func() error { return q.d.ToReadyToSend(a) })
}

// ToError stops it: what is outstanding completes as Flushed. Possible in every
// state.
func (q *QueuePair) ToError() error {
	return q.modify("ibv_modify_qp (ERR)", q.d.ToError)
}

// State asks the device; see ibv_query_qp(3).
func (q *QueuePair) State() (s QueuePairState, err error) {
	err = q.modify("ibv_query_qp", func() (err error) {
		s, err = q.d.State()
		return err
	})
	return s, err
}

func (q *QueuePair) modify(name string, f func() error) error {
	if err := q.enter(); err != nil {
		return err
	}
	defer q.leave()
	return verb(q.dev.name, name, q.sys.blocking(f), hintModify)
}

// PostSend posts work requests, in order, with one doorbell; see
// ibv_post_send(3). Where an error comes with fewer than all, the rest was not
// posted: ENOMEM is a full queue. An error that comes with all of them is one of
// the doorbell: the device can come to them later. ErrState is a queue pair that
// is not ready to send yet. The memory that they name is the device's
// until their completions, or for unsignaled ones a later completion of this
// queue pair. rs itself is not kept. Does not block or allocate.
func (q *QueuePair) PostSend(rs []SendRequest) (int, error) {
	if err := q.enter(); err != nil {
		return 0, err
	}
	n, err := q.d.PostSend(rs)
	q.leave()
	if err != nil {
		return n, verb(q.dev.name, "ibv_post_send", err, hintPost)
	}
	return n, nil
}

// PostReceive posts receives, from the state Init on; see ibv_post_recv(3) and
// PostSend. Do not count on the completion of one that is posted in Error: rxe
// flushes it only when something else wakes the queue pair.
func (q *QueuePair) PostReceive(rs []ReceiveRequest) (int, error) {
	if err := q.enter(); err != nil {
		return 0, err
	}
	n, err := q.d.PostReceive(rs)
	q.leave()
	if err != nil {
		return n, verb(q.dev.name, "ibv_post_recv", err, hintPost)
	}
	return n, nil
}

// Close destroys it; see ibv_destroy_qp(3). Once it returned nil no write of the
// peer can land by it any more: this is the fence. What was posted and not
// polled gives no completion, so ToError and Poll come first where they matter.
// On an error the queue pair lives on, and memory that it can reach must neither
// be freed nor used again. Blocks.
func (q *QueuePair) Close() error {
	return q.end(func() error {
		return verb(q.dev.name, "ibv_destroy_qp", q.sys.blocking(q.d.Close), nil)
	})
}

var (
	hintModify = map[syscall.Errno]string{
		syscall.EINVAL:       "an attribute or the state is wrong, or the entry of the GID table is gone",
		syscall.ENODATA:      "the entry of the GID table is empty",
		syscall.ETIMEDOUT:    "nobody answers at the peer's address",
		syscall.EHOSTUNREACH: "no way to the peer's address",
		syscall.ENETUNREACH:  "no route to the peer's address",
	}
	hintPost = map[syscall.Errno]string{
		syscall.ENOMEM: "the queue is full",
		syscall.EINVAL: "the request or the state of the queue pair is wrong",
	}
)
