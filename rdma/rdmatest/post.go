package rdmatest

import (
	"syscall"
	"unsafe"

	"github.com/xferd/xferd/rdma"
)

// request is a slot of a send queue.
type request struct {
	rdma.SendRequest
	inline []byte // room of this slot
	length uint64

	started bool   // has packet numbers
	psn     uint32 // of its first packet
	packets uint32
	fault   *SendFault
	mute    bool // its acknowledgements do not count, for a fault
	// err is how it ends, once all before it is over. Success is not known yet.
	err rdma.Status
}

func (q *qp) PostSend(rs []rdma.SendRequest) (int, error) {
	defer q.ctx.unlock()
	if err := q.ctx.verb(VerbPostSend); err != nil {
		return 0, err
	}
	if q.state != rdma.StateReadyToSend && q.state != rdma.StateError {
		return 0, rdma.ErrState
	}
	s := &q.sender
	n := 0
	var failed error
	for n < len(rs) && failed == nil {
		if s.tail-q.sendsFreed.Load() >= uint64(len(s.ring)) {
			failed = syscall.ENOMEM
		} else if failed = q.take(s.slot(s.tail), &rs[n]); failed == nil {
			s.tail++
			n++
		}
	}
	if err := q.dev.verb(VerbDoorbell); err != nil {
		return n, err
	}
	q.kick()
	return n, failed
}

// take checks a request and puts it into a slot.
func (q *qp) take(slot *request, r *rdma.SendRequest) error {
	if r.Op > rdma.OpRead || int(r.NumSGE) > q.limits.MaxSendSGE || r.Op == rdma.OpRead && q.sender.maxReads == 0 {
		return syscall.EINVAL
	}
	length := uint64(0)
	for _, e := range r.SGE[:r.NumSGE] {
		length += uint64(e.Length)
	}
	if length > uint64(q.dev.config.MaxMessage) {
		return syscall.EINVAL
	}
	if r.Flags&rdma.Inline != 0 {
		if length > uint64(q.limits.MaxInline) || r.Op == rdma.OpRead {
			return syscall.EINVAL
		}
		to := slot.inline
		for _, e := range r.SGE[:r.NumSGE] {
			// Inline data need not be registered: the processor reads it.
			to = to[copy(to, addressed(e.Addr, e.Length)):]
		}
	}
	*slot = request{SendRequest: *r, inline: slot.inline, length: length}
	return nil
}

// addressed returns memory of this process by its address.
func addressed(addr uint64, n uint32) []byte {
	if n == 0 {
		return nil
	}
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&addr)), n)
}

func (q *qp) PostReceive(rs []rdma.ReceiveRequest) (int, error) {
	defer q.ctx.unlock()
	if err := q.ctx.verb(VerbPostReceive); err != nil {
		return 0, err
	}
	if q.state == rdma.StateReset {
		return 0, rdma.ErrState
	}
	t := &q.target
	for i := range rs {
		switch {
		case int(rs[i].NumSGE) > q.limits.MaxReceiveSGE:
			return i, syscall.EINVAL
		case t.tail-q.receivesFreed.Load() >= uint64(len(t.ring)):
			return i, syscall.ENOMEM
		}
		t.ring[t.tail%uint64(len(t.ring))] = rs[i]
		t.tail++
	}
	if q.state == rdma.StateError {
		q.kick()
	}
	return len(rs), nil
}
