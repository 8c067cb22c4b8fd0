package rdmatest

import (
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/xferd/xferd/rdma"
)

// qp is a queue pair. One goroutine, its engine, executes what it sends and
// flushes both queues; what it receives is done by the engine of the sender.
type qp struct {
	ctx        *opened
	dev        *Device
	pd         *pd
	num        uint32
	send, recv *cq
	limits     rdma.QueuePairLimits

	// One burst of packets at a time comes in; taken before fabric.mu. Close
	// takes it, so that nothing is under way when it returns.
	arriving sync.Mutex

	wake chan struct{} // 1: the engine has to look again
	done chan struct{} // closed when the engine has ended

	sendsFreed, receivesFreed atomic.Uint64 // by Poll

	// All below is guarded by fabric.mu.
	state    rdma.QueuePairState
	gone     bool
	access   rdma.Access
	from, to rdma.GID // own and the peer's
	dest     uint32   // number of the peer's
	roce     rdma.GIDType
	mtu      uint64
	sender   sender
	target   target
}

func (p *pd) CreateQueuePair(c rdma.QueuePairConfig, send, recv rdma.DriverCQ) (rdma.DriverQP, rdma.QueuePairLimits, error) {
	d := p.ctx.dev
	defer p.ctx.unlock()
	if err := p.ctx.verb(VerbCreateQP); err != nil {
		return nil, rdma.QueuePairLimits{}, err
	}
	switch {
	case c.MaxSend > maxRequests, c.MaxReceive > maxRequests, c.MaxInline > d.config.MaxInline:
		return nil, rdma.QueuePairLimits{}, syscall.EINVAL
	case len(d.qps) >= maxQueuePairs:
		return nil, rdma.QueuePairLimits{}, syscall.ENOMEM
	}
	q := &qp{
		ctx: p.ctx, dev: d, pd: p, num: d.nextQPN, send: send.(*cq), recv: recv.(*cq), limits: rdma.QueuePairLimits(c),
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	q.sender.ring = make([]request, c.MaxSend)
	inline := make([]byte, c.MaxSend*c.MaxInline)
	for i := range q.sender.ring {
		q.sender.ring[i].inline = inline[i*c.MaxInline : (i+1)*c.MaxInline : (i+1)*c.MaxInline]
	}
	q.target.ring = make([]rdma.ReceiveRequest, c.MaxReceive)
	d.nextQPN++
	d.qps[q.num] = q
	d.counters.QueuePairs++
	if d.fabric.closed {
		q.gone = true
	}
	d.fabric.engines.Add(1)
	go q.run()
	return q, q.limits, nil
}

func (q *qp) Number() uint32 { return q.num }

// kick makes the engine look again.
func (q *qp) kick() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// setError moves the queue pair to ERR, and reports whether it was not there.
// fabric.mu is held.
func (q *qp) setError() bool {
	if q.state == rdma.StateError {
		return false
	}
	q.state = rdma.StateError
	q.kick()
	return true
}

func (q *qp) ToInit(a rdma.InitAttr) error {
	defer q.ctx.unlock()
	if err := q.ctx.verb(VerbToInit); err != nil {
		return err
	}
	if q.state != rdma.StateReset || a.Port != 1 || a.PKeyIndex != 0 {
		return syscall.EINVAL
	}
	q.access, q.state = a.Access, rdma.StateInit
	return nil
}

// resolveTime is how long the search for an address that nobody has takes.
const resolveTime = time.Second

func (q *qp) ToReadyToReceive(a rdma.ReadyToReceiveAttr) error {
	defer q.ctx.unlock()
	if err := q.ctx.verb(VerbToReadyToReceive); err != nil {
		return err
	}
	if q.state != rdma.StateInit {
		return syscall.EINVAL
	}
	source, err := q.dev.source(&a.Address)
	if err != nil {
		return err
	}
	f := q.dev.fabric
	if f.gids[a.Address.DestGID] == nil {
		f.mu.Unlock()
		time.Sleep(f.cut(resolveTime))
		f.mu.Lock()
		return syscall.ETIMEDOUT
	}
	q.from, q.to, q.roce, q.dest, q.mtu = source.GID, a.Address.DestGID, source.Type, a.DestNumber, uint64(a.PathMTU.Bytes())
	q.target.next, q.target.reads = a.PSN, a.MaxReads
	q.target.readyTime = readyTimes[a.MinRNRTimer]
	q.state = rdma.StateReadyToReceive
	return nil
}

func (q *qp) ToReadyToSend(a rdma.ReadyToSendAttr) error {
	defer q.ctx.unlock()
	if err := q.ctx.verb(VerbToReadyToSend); err != nil {
		return err
	}
	if q.state != rdma.StateReadyToReceive {
		return syscall.EINVAL
	}
	s := &q.sender
	s.unacked, s.fresh, s.high = a.PSN, a.PSN, a.PSN
	s.tryTime = q.dev.fabric.cut(4096 * time.Nanosecond << a.Timeout)
	s.maxTries, s.maxReady, s.maxReads = int(a.RetryCount), int(a.RNRRetry), a.MaxReads
	q.state = rdma.StateReadyToSend
	return nil
}

func (q *qp) ToError() error {
	defer q.ctx.unlock()
	if err := q.ctx.verb(VerbToError); err != nil {
		return err
	}
	q.setError()
	return nil
}

func (q *qp) State() (rdma.QueuePairState, error) {
	defer q.ctx.unlock()
	if err := q.ctx.verb(VerbQueryQP); err != nil {
		return 0, err
	}
	return q.state, nil
}

func (q *qp) Close() error {
	if err := q.ctx.verb(VerbDestroyQP); err != nil {
		q.ctx.unlock()
		return err
	}
	q.ctx.unlock()
	q.arriving.Lock()
	q.dev.fabric.mu.Lock()
	q.gone = true
	delete(q.dev.qps, q.num)
	q.dev.counters.QueuePairs--
	q.dev.fabric.mu.Unlock()
	q.arriving.Unlock()
	q.kick()
	<-q.done
	q.send.forget(q)
	q.recv.forget(q)
	return nil
}

// readyTimes are what the codes of MinRNRTimer mean.
var readyTimes = func() (t [32]time.Duration) {
	for i, us := range [32]int{
		655360, 10, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 960, 1280, 1920, 2560, 3840, 5120, 7680,
		10240, 15360, 20480, 30720, 40960, 61440, 81920, 122880, 163840, 245760, 327680, 491520,
	} {
		t[i] = time.Duration(us) * time.Microsecond
	}
	return t
}()
