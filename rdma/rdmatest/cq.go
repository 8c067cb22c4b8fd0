package rdmatest

import (
	"context"
	"sync"
	"syscall"

	"github.com/xferd/xferd/rdma"
)

// channel is a completion channel.
type channel struct {
	ctx  *opened
	news chan struct{} // 1: a queue had an event
	gone chan struct{}
}

func (o *opened) CreateCompletionChannel() (rdma.DriverChannel, error) {
	defer o.unlock()
	if err := o.verb(VerbCreateChannel); err != nil {
		return nil, err
	}
	o.dev.counters.Channels++
	return &channel{ctx: o, news: make(chan struct{}, 1), gone: make(chan struct{})}, nil
}

func (c *channel) Wait(ctx context.Context) error {
	select {
	case <-c.gone:
		return rdma.ErrClosed
	default:
	}
	select {
	case <-c.news:
		return nil
	case <-c.gone:
		return rdma.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *channel) Close() error {
	defer c.ctx.unlock()
	if err := c.ctx.verb(VerbDestroyChannel); err != nil {
		return err
	}
	c.ctx.dev.counters.Channels--
	close(c.gone)
	return nil
}

// cq is a completion queue: a ring of exactly the depth that was asked for.
type cq struct {
	ctx     *opened
	channel *channel // or nil

	mu         sync.Mutex // taken after fabric.mu
	ring       []entry
	head, tail uint64
	armed      bool
	solicited  bool // armed for solicited ones only
	dead       bool
}

// entry is a completion, with what polling it gives back.
type entry struct {
	wc        rdma.WorkCompletion
	q         *qp
	receive   bool
	solicited bool
	upto      uint64 // requests of the send or receive queue that are over
}

func (o *opened) CreateCompletionQueue(depth int, ch rdma.DriverChannel) (rdma.DriverCQ, error) {
	defer o.unlock()
	if err := o.verb(VerbCreateCQ); err != nil {
		return nil, err
	}
	if depth > maxCompletions {
		return nil, syscall.EINVAL
	}
	c := &cq{ctx: o, ring: make([]entry, depth)}
	if ch != nil {
		c.channel = ch.(*channel)
	}
	o.dev.cqs[c] = struct{}{}
	o.dev.counters.CompletionQueues++
	return c, nil
}

func (c *cq) RequestNotify(solicitedOnly bool) error {
	if c.ctx.dev.faulty.Load() {
		err := c.ctx.verb(VerbRequestNotify)
		c.ctx.unlock()
		if err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// Asking for all after asking for some asks for all, not the other way.
	c.solicited = solicitedOnly && (!c.armed || c.solicited)
	c.armed = true
	return nil
}

func (c *cq) Poll(wcs []rdma.WorkCompletion) (int, error) {
	if c.ctx.dev.faulty.Load() {
		err := c.ctx.verb(VerbPoll)
		c.ctx.unlock()
		if err != nil {
			return 0, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for ; n < len(wcs) && c.head < c.tail; n++ {
		e := &c.ring[c.head%uint64(len(c.ring))]
		wcs[n] = e.wc
		if e.receive {
			e.q.receivesFreed.Store(e.upto)
		} else {
			e.q.sendsFreed.Store(e.upto)
		}
		e.q = nil
		c.head++
	}
	return n, nil
}

// push adds a completion. fabric.mu is held. A queue that is full overruns.
func (c *cq) push(e entry) {
	if e.wc.Status != rdma.Success {
		// Nothing else is valid, so that whoever reads it shall be surprised.
		e.wc.Op, e.wc.Bytes, e.wc.Imm, e.wc.Flags = 0xbad0bad0, 0xbad0bad0, 0xbad0bad0, 0
		e.wc.VendorError = 0x80 + uint32(e.wc.Status)
	}
	c.mu.Lock()
	if c.dead {
		c.mu.Unlock()
		return
	}
	if c.tail-c.head == uint64(len(c.ring)) {
		c.mu.Unlock()
		c.ctx.dev.overrun(c)
		return
	}
	c.ring[c.tail%uint64(len(c.ring))] = e
	c.tail++
	wake := c.armed && (!c.solicited || e.solicited || e.wc.Status != rdma.Success)
	if wake {
		c.armed = false
	}
	c.mu.Unlock()
	c.ctx.dev.counters.Completions++
	if wake && c.channel != nil {
		select {
		case c.channel.news <- struct{}{}:
		default:
		}
	}
}

// die makes the queue take nothing any more, and reports whether it did before.
func (c *cq) die() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := !c.dead
	c.dead = true
	return was
}

// forget drops the completions of a queue pair that is being destroyed.
func (c *cq) forget(q *qp) {
	c.mu.Lock()
	defer c.mu.Unlock()
	size, to := uint64(len(c.ring)), c.head
	for i := c.head; i < c.tail; i++ {
		if e := c.ring[i%size]; e.q != q {
			c.ring[to%size] = e
			to++
		}
	}
	c.tail = to
}

func (c *cq) Close() error {
	defer c.ctx.unlock()
	if err := c.ctx.verb(VerbDestroyCQ); err != nil {
		return err
	}
	delete(c.ctx.dev.cqs, c)
	c.ctx.dev.counters.CompletionQueues--
	return nil
}
