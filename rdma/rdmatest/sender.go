package rdmatest

import (
	"time"

	"github.com/xferd/xferd/rdma"
)

const (
	// burstBytes is the payload that travels as one; packets of it are not told
	// apart any more.
	burstBytes = 64 << 10
	// window is the packets that may be under way without acknowledgement.
	window = 4096
)

// sender is the sending half of a queue pair. Requests [head, next) were sent
// and wait for acknowledgement; next is being sent. All changes of it but
// posting and answers are made by the engine.
type sender struct {
	ring             []request
	head, next, tail uint64
	offset           uint32 // packets of next that were sent

	unacked uint32 // PSN of the first packet without acknowledgement
	high    uint32 // PSN after the last one that was ever sent
	fresh   uint32 // PSN of the next request that gets one

	answers []answer // that the engine has not seen

	since           time.Time // of the last progress
	pause           time.Time // nothing is sent before
	tryTime         time.Duration
	tries, maxTries int
	ready, maxReady int
	maxReads        uint8
}

func (s *sender) slot(i uint64) *request { return &s.ring[i%uint64(len(s.ring))] }

// before reports how far a is before b, as packet numbers count.
func before(a, b uint32) int32 { return int32((b-a)<<8) >> 8 }

func psnAdd(a, n uint32) uint32 { return (a + n) & 0xffffff }

type step uint8

const (
	stepWait step = iota
	stepEnd
	stepFlush
	stepSend
	stepAgain
)

// run is the engine.
func (q *qp) run() {
	f := q.dev.fabric
	defer f.engines.Done()
	defer close(q.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	b := new(burst)
	for {
		f.mu.Lock()
		step, wait := q.plan()
		switch step {
		case stepEnd:
			f.mu.Unlock()
			return
		case stepFlush:
			f.mu.Unlock()
			q.flush()
		case stepSend:
			q.emit(b)
		case stepAgain:
			f.mu.Unlock()
		case stepWait:
			f.mu.Unlock()
			if wait <= 0 {
				<-q.wake
				continue
			}
			timer.Reset(wait)
			select {
			case <-q.wake:
			case <-timer.C:
			}
			timer.Stop()
		}
	}
}

// plan says what the engine has to do. fabric.mu is held.
func (q *qp) plan() (step, time.Duration) {
	s := &q.sender
	switch {
	case q.gone:
		return stepEnd, 0
	case q.dev.frozen:
		return stepWait, 0
	}
	if q.state == rdma.StateReadyToSend {
		for _, a := range s.answers {
			q.answered(a)
		}
		s.answers = s.answers[:0]
	}
	if q.state == rdma.StateError {
		if s.head < s.tail || q.target.head < q.target.tail || q.target.current {
			return stepFlush, 0
		}
		return stepWait, 0
	}
	if q.state != rdma.StateReadyToSend || s.head == s.tail {
		return stepWait, 0
	}
	now := time.Now()
	if wait := s.pause.Sub(now); wait > 0 {
		return stepWait, wait
	}
	if s.next < s.tail {
		switch r := s.slot(s.next); {
		case r.err != rdma.Success && s.head == s.next:
			q.fail(r.err)
			return stepAgain, 0
		case r.err != rdma.Success: // when those before it are over
		case before(s.unacked, s.high) < window:
			return stepSend, 0
		}
	}
	if s.unacked == s.high {
		return stepWait, 0
	}
	if wait := s.since.Add(s.tryTime).Sub(now); wait > 0 {
		return stepWait, wait
	}
	q.again()
	return stepAgain, 0
}

// again goes back to the first packet without acknowledgement, or gives up.
func (q *qp) again() {
	s := &q.sender
	if s.tries == s.maxTries {
		q.fail(rdma.RetryExceeded)
		return
	}
	s.tries++
	q.dev.counters.Retries++
	q.rewind()
}

func (q *qp) rewind() {
	s := &q.sender
	s.since = time.Now()
	if r := s.slot(s.head); s.head < s.tail && r.started {
		s.next, s.offset = s.head, uint32(before(r.psn, s.unacked))
	}
}

// answered applies an answer of the target.
func (q *qp) answered(a answer) {
	s := &q.sender
	if q.state != rdma.StateReadyToSend || s.head == s.tail {
		return
	}
	fits := before(s.unacked, a.psn) >= 0 && before(a.psn, s.high) > 0
	switch a.kind {
	case answerAck:
		if fits {
			q.advance(psnAdd(a.psn, 1))
			s.tries, s.ready, s.since = 0, 0, time.Now()
		}
	case answerSequence:
		if fits {
			q.advance(a.psn)
		}
		if s.unacked != s.high {
			q.again()
		}
	case answerNotReady:
		if !fits {
			return
		}
		q.advance(a.psn)
		if s.slot(s.head).mute {
			return
		}
		if s.ready == s.maxReady {
			q.fail(rdma.ReceiverNotReadyRetries)
			return
		}
		s.ready++
		s.pause = time.Now().Add(a.wait)
		q.rewind()
	case answerRefused:
		if fits {
			q.advance(a.psn)
			if !s.slot(s.head).mute {
				q.fail(a.status)
			}
		}
	}
}

// advance takes everything before a packet number as acknowledged.
func (q *qp) advance(to uint32) {
	s := &q.sender
	if before(s.unacked, to) <= 0 {
		return
	}
	s.unacked = to
	for s.head < s.tail {
		r := s.slot(s.head)
		if r.mute {
			s.unacked = r.psn
			break
		}
		if !r.started || before(psnAdd(r.psn, r.packets), to) < 0 {
			break
		}
		q.complete(r, rdma.Success)
	}
	if s.next < s.head {
		s.next, s.offset = s.head, 0
	}
	if r := s.slot(s.head); s.next == s.head && s.head < s.tail && r.started {
		s.offset = max(s.offset, uint32(max(before(r.psn, s.unacked), 0)))
	}
}

// complete ends the request at the head. One that failed has a completion
// whether or not it was asked for.
func (q *qp) complete(r *request, status rdma.Status) {
	s := &q.sender
	s.head++
	silent := r.fault != nil && r.fault.Silent
	if silent || status == rdma.Success && r.Flags&rdma.Signaled == 0 {
		return
	}
	wc := rdma.WorkCompletion{ID: r.ID, Status: status, QueuePair: q.num, Op: rdma.CompletedWrite}
	switch r.Op {
	case rdma.OpSend, rdma.OpSendWithImm:
		wc.Op = rdma.CompletedSend
	case rdma.OpRead:
		wc.Op, wc.Bytes = rdma.CompletedRead, uint32(r.length)
	}
	q.send.push(entry{wc: wc, q: q, upto: s.head})
}

// fail ends the request at the head, and with it the connection. After a fault
// that the target would have found its end is over as well.
func (q *qp) fail(status rdma.Status) {
	s := &q.sender
	r := s.slot(s.head)
	q.setError()
	if r.fault != nil && r.fault.Override {
		switch status {
		case rdma.RemoteAccessError, rdma.RemoteInvalidRequest, rdma.RemoteOperationError:
			if d := q.dev.fabric.gids[q.to]; d != nil && d.qps[q.dest] != nil {
				d.qps[q.dest].setError()
			}
		}
	}
	q.complete(r, status)
	s.next, s.offset = max(s.next, s.head), 0
}

// flush ends everything that is outstanding on a queue pair in error.
func (q *qp) flush() {
	q.arriving.Lock()
	defer q.arriving.Unlock()
	q.dev.fabric.mu.Lock()
	defer q.dev.fabric.mu.Unlock()
	s := &q.sender
	for s.head < s.tail && !q.gone {
		q.complete(s.slot(s.head), rdma.Flushed)
	}
	s.next, s.offset, s.answers = s.head, 0, s.answers[:0]
	q.target.flush(q)
}

// emit sends the next burst of the next request. fabric.mu is held, and given up.
func (q *qp) emit(b *burst) {
	f, s := q.dev.fabric, &q.sender
	r := s.slot(s.next)
	if !r.started {
		r.started, r.psn = true, s.fresh
		r.packets = max(1, uint32((r.length+q.mtu-1)/q.mtu))
		s.fresh = psnAdd(s.fresh, r.packets)
		r.fault = q.dev.matchSend(q)
		if o := r.fault; o != nil {
			if o.Override && o.Status != rdma.Success {
				r.mute = true
				if o.Land == LandNothing {
					r.err = o.Status
				}
			}
			if o.Before != nil {
				f.mu.Unlock()
				o.Before()
				return
			}
			if r.err != rdma.Success {
				f.mu.Unlock()
				return
			}
		}
	}
	n := min(r.packets-s.offset, max(1, uint32(burstBytes/q.mtu)))
	lo := uint64(s.offset) * q.mtu
	hi := min(r.length, uint64(s.offset+n)*q.mtu)
	*b = burst{
		device: q.dev, from: q.from, to: q.to, roce: q.roce, dest: q.dest, psn: psnAdd(r.psn, s.offset), packets: n, mtu: q.mtu,
		op: r.Op, first: s.offset == 0, last: s.offset+n == r.packets, solicited: r.Flags&rdma.Solicited != 0, imm: r.Imm,
		addr: r.RemoteAddr, key: r.RemoteKey, total: r.length, offset: lo, size: hi - lo, land: hi - lo,
	}
	need := rdma.Access(0)
	if r.Op == rdma.OpRead {
		need = rdma.LocalWrite
	}
	switch {
	case r.Flags&rdma.Inline != 0:
		b.local.add(nil, r.inline[lo:hi])
	case !b.local.gather(q.pd, r.SGE[:r.NumSGE], lo, hi, need):
		r.err = rdma.LocalProtectionError
		f.mu.Unlock()
		return
	}
	b.apply(r)
	s.offset += n
	if end := psnAdd(b.psn, n); before(s.high, end) > 0 {
		s.high = end
	}
	s.since = time.Now()
	q.dev.counters.BytesSent += b.size
	switch {
	case b.cut || b.last && r.mute:
		r.err = r.fault.Status
	case b.last:
		s.next, s.offset = s.next+1, 0
	}
	f.travel(b)
}

// apply makes a burst what the fault of its request wants.
func (b *burst) apply(r *request) {
	o := r.fault
	if o == nil || !o.Override {
		return
	}
	switch o.Land {
	case LandNothing:
		b.land = 0
	case LandHalf:
		half := r.length / 2
		b.land = min(b.size, half-min(half, b.offset))
		b.cut = r.mute && b.offset+b.size > half
	case LandDamaged:
		b.damaged = b.first
	}
}
