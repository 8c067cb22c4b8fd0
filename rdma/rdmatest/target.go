package rdmatest

import (
	"time"

	"github.com/xferd/xferd/rdma"
)

// target is the receiving half of a queue pair. Receives [head, tail) wait for
// a message.
type target struct {
	ring       []rdma.ReceiveRequest
	head, tail uint64
	next       uint32 // PSN that is expected
	reads      uint8  // that may be asked for at a time
	readyTime  time.Duration

	open    bool        // a message has begun
	op      rdma.Opcode // of it
	current bool        // it is being put into receive
	receive rdma.ReceiveRequest
}

// consume takes the next receive, and reports whether there was one.
func (t *target) consume() bool {
	if t.head == t.tail {
		return false
	}
	t.receive = t.ring[t.head%uint64(len(t.ring))]
	t.head++
	t.current = true
	return true
}

// finish completes the receive that was consumed.
func (t *target) finish(q *qp, wc rdma.WorkCompletion, solicited bool) {
	wc.ID, wc.QueuePair = t.receive.ID, q.num
	t.current = false
	q.recv.push(entry{wc: wc, q: q, receive: true, solicited: solicited, upto: t.head})
}

// flush ends all receives. fabric.mu and q.arriving are held.
func (t *target) flush(q *qp) {
	for !q.gone && (t.current || t.consume()) {
		t.finish(q, rdma.WorkCompletion{Status: rdma.Flushed}, false)
	}
}

func writes(op rdma.Opcode) bool { return op == rdma.OpWrite || op == rdma.OpWriteWithImm }
func sends(op rdma.Opcode) bool  { return op == rdma.OpSend || op == rdma.OpSendWithImm }

// arrive does what a burst asks for. q.arriving and fabric.mu are held; the
// latter is given up while bytes are copied.
func (q *qp) arrive(b *burst) {
	t, c := &q.target, &q.dev.counters
	if q.state != rdma.StateReadyToReceive && q.state != rdma.StateReadyToSend || b.from != q.to || b.to != q.from || q.roce != b.roce {
		c.Unwanted++
		return
	}
	ahead := before(t.next, b.psn)
	switch {
	case ahead > 0:
		c.OutOfOrder++
		q.answer(answer{kind: answerSequence, psn: t.next})
		return
	case ahead < 0 && before(t.next, psnAdd(b.psn, b.packets)) > 0:
		// Its first packets were here, the others are the middle of nothing.
		q.refuse(b, rdma.RemoteInvalidRequest)
		return
	case ahead < 0 && b.op != rdma.OpRead:
		// Dropped, whatever is in it, and acknowledged.
		c.Duplicates++
		q.answer(answer{kind: answerAck, psn: psnAdd(b.psn, b.packets-1)})
		return
	case ahead < 0:
		c.Duplicates++
	case b.first == t.open, t.open && b.op != t.op:
		q.refuse(b, rdma.RemoteInvalidRequest)
		return
	}
	if !q.fits(b) || !q.allowed(b) {
		q.refuse(b, rdma.RemoteInvalidRequest)
		return
	}
	if b.first && sends(b.op) || b.last && b.op == rdma.OpWriteWithImm {
		if t.head == t.tail {
			c.NotReady++
			q.answer(answer{kind: answerNotReady, psn: b.psn, wait: t.readyTime})
			return
		}
	}
	var mem pieces
	if !q.reach(b, &mem) {
		return
	}
	to, from, n := &mem, &b.local, int(b.land)
	if b.op == rdma.OpRead {
		to, from = from, to
		if d, l := q.answerTo(); d == nil || l != nil {
			n = 0 // the data that was read does not arrive
		}
	}
	f := q.dev.fabric
	f.mu.Unlock()
	moved := f.move(to, from, n)
	if b.damaged && moved > 0 {
		damage(to.mem[0])
	}
	f.mu.Lock()
	mem.release()
	if b.op != rdma.OpRead {
		c.BytesLanded += uint64(moved)
	}
	if b.cut || q.state == rdma.StateError || ahead < 0 && n == 0 {
		return
	}
	if ahead == 0 {
		t.next, t.open, t.op = psnAdd(t.next, b.packets), !b.last, b.op
	}
	if b.last && ahead == 0 {
		c.Landed++
		q.arrived(b)
	}
	if b.op != rdma.OpRead || n > 0 || b.size == 0 {
		q.answer(answer{kind: answerAck, psn: psnAdd(b.psn, b.packets-1)})
	}
}

// arrived tells of a message that is here whole.
func (q *qp) arrived(b *burst) {
	t := &q.target
	wc := rdma.WorkCompletion{Op: rdma.CompletedReceive, Bytes: uint32(b.total), Imm: b.imm, Flags: rdma.HasImm}
	switch b.op {
	case rdma.OpWriteWithImm:
		t.consume()
		wc.Op = rdma.CompletedReceiveWithImm
	case rdma.OpSend:
		wc.Imm, wc.Flags = 0, 0
	case rdma.OpSendWithImm:
	default:
		return
	}
	t.finish(q, wc, b.solicited)
}

// fits checks the length of packets against the path MTU of this end.
func (q *qp) fits(b *burst) bool {
	if b.op == rdma.OpRead {
		return true // its packets are made here
	}
	if b.first && b.last && b.packets == 1 {
		return b.size <= q.mtu
	}
	return b.mtu == q.mtu
}

// allowed checks the rights that this end gives its peer.
func (q *qp) allowed(b *burst) bool {
	switch {
	case writes(b.op):
		return q.access&rdma.RemoteWrite != 0
	case b.op == rdma.OpRead:
		return q.access&rdma.RemoteRead != 0 && q.target.reads > 0
	}
	return true
}

// reach finds the local memory that a burst is about. Where it must not be had
// the burst is refused.
func (q *qp) reach(b *burst, mem *pieces) bool {
	t := &q.target
	if sends(b.op) {
		if b.first {
			t.consume()
		}
		room := uint64(0)
		for _, e := range t.receive.SGE[:t.receive.NumSGE] {
			room += uint64(e.Length)
		}
		local, remote := rdma.LocalLengthError, rdma.RemoteInvalidRequest
		if b.total <= room {
			if mem.gather(q.pd, t.receive.SGE[:t.receive.NumSGE], b.offset, b.offset+b.size, rdma.LocalWrite) {
				return true
			}
			local, remote = rdma.LocalProtectionError, rdma.RemoteOperationError
		}
		t.finish(q, rdma.WorkCompletion{Status: local}, false)
		q.refuse(b, remote)
		return false
	}
	if b.total == 0 {
		return true // key and address of nothing are not looked at
	}
	need := rdma.RemoteWrite
	if b.op == rdma.OpRead {
		need = rdma.RemoteRead
	}
	m, all := q.dev.slice(q.pd, b.key, b.addr, b.total, need)
	if m == nil {
		q.dev.counters.AccessErrors++
		q.refuse(b, rdma.RemoteAccessError)
		return false
	}
	mem.add(m, all[b.offset:b.offset+b.size])
	return true
}

// refuse ends the connection at this end, and at the peer's with a status.
func (q *qp) refuse(b *burst, status rdma.Status) {
	q.answer(answer{kind: answerRefused, psn: b.psn, status: status})
	if q.setError() {
		e := rdma.EventQueuePairRequestError
		if status == rdma.RemoteAccessError {
			e = rdma.EventQueuePairAccessError
		}
		q.ctx.tell(rdma.AsyncEvent{Type: e, QueuePair: q.num})
	}
}
