package verbs

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/xferd/xferd/internal/pace"
	"github.com/xferd/xferd/internal/wire"
	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/internal/chunkio"
	"github.com/xferd/xferd/transport/internal/tally"
)

// outgoing is an edge at the source.
type outgoing struct {
	t       *Transport
	edge    transport.Edge
	grant   transport.Grant
	opt     transport.DialOptions
	control transport.Control
	pacer   *pace.Pacer
	stats   tally.Counters
	causes  causes

	paths    []path
	s        *session
	slots    []*outSlot
	cells    *slab    // of all slots
	cellKeys []uint32 // of the target's cells
	sources  []*mapped
	stages   chan *slab   // for slots without a slab of their own
	inPlace  bool         // chunks go to the target's memory
	memory   remoteMemory // of the target, then
	size     int64        // of it
	free     chan *outSlot
	probed   chan error
	stall    vigil // while chunks are on their way

	life  context.Context // until Close, or what broke the session
	close context.CancelCauseFunc

	endOnce sync.Once
	endErr  error

	mu   sync.Mutex
	ran  bool
	out  int           // slots with a chunk
	idle chan struct{} // closed when out falls to 0; nil while nobody waits
}

// outSlot is a slab of the source with the slot and the cell of the target that
// it is written to. A slot has one chunk at a time.
type outSlot struct {
	index      uint16
	data, cell []byte
	slab       *slab  // of data; nil where chunks lie in memory
	staged     bool   // slab is one of outgoing.stages
	remote     window // none in place
	remoteCell uint64

	hasher xxh3.Hasher
	framer chunkio.Framer
	reqs   []rdma.SendRequest
	locals []local // of all segments
	tail   int     // requests of the last burst
	seals  []wire.Seal
	errs   []error // why an extent is not sound

	// Guarded by outgoing.mu.
	generation uint16
	chunk      *transport.Chunk
	feed       transport.Feed
	domain     *domain
	pair       *pair
	total      int64
	posted     bool // all of it
	completed  bool // the device needs the slab no more
	answered   bool
	answers    []wire.Answer
	verdicts   []transport.Verdict
}

func newOutgoing(t *Transport, edge transport.Edge, g transport.Grant, o transport.DialOptions) *outgoing {
	out := &outgoing{
		t: t, edge: edge, grant: g, opt: o,
		pacer:  pace.New(o.MaxRate),
		probed: make(chan error, 1),
	}
	out.s = newSession(t, asSource, edge.Peer, o.Principal, o.ChunkSize, out.fail)
	out.stall = vigil{every: t.cfg.Limits.Stall, due: func() { out.fail(out.stalled()) }}
	out.life, out.close = context.WithCancelCause(context.Background())
	return out
}

// end fences the session and closes its control. Idempotent.
func (o *outgoing) end() error {
	o.endOnce.Do(func() {
		o.close(net.ErrClosed)
		o.stall.stop()
		o.endErr = o.s.fence()
		if o.control != nil {
			_ = o.control.Close()
		}
	})
	return o.endErr
}

// fail breaks the session. The first cause counts.
func (o *outgoing) fail(err error) { o.close(err) }

// Run implements transport.Outgoing. It can be called once.
func (o *outgoing) Run(ctx context.Context, f transport.Feed) error {
	o.mu.Lock()
	switch {
	case context.Cause(o.life) == net.ErrClosed: // what broke it before is told below
		o.mu.Unlock()
		return net.ErrClosed
	case o.ran:
		o.mu.Unlock()
		return errors.New("the edge ran already")
	}
	o.ran = true
	o.mu.Unlock()

	parent := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(o.life, func() { cancel(context.Cause(o.life)) })
	defer stop()

	var answers, streams sync.WaitGroup
	ended := make(chan struct{})
	answers.Go(func() {
		if err := o.receive(ctx, ended); err != nil {
			o.targetSays(ctx, err)
		}
	})
	for i := range min(max(o.opt.Streams, 1), len(o.slots)) {
		streams.Go(func() {
			if err := o.stream(ctx, f, i); err != nil {
				o.fail(err)
			}
		})
	}
	streams.Wait()
	o.finish(ctx, ended)
	cause := context.Cause(ctx)
	fence := o.end() // ends the receiving too
	cancel(nil)
	answers.Wait()
	o.giveBack()
	switch {
	case cause == nil:
		return errors.Join(o.ended(nil), fence)
	case parent.Err() != nil:
		return parent.Err()
	case cause == net.ErrClosed: // by Close, which is no failure
		return errors.Join(cause, fence)
	default:
		err := errors.Join(cause, fence)
		o.fellBack(err)
		return o.ended(err)
	}
}

// finish waits until every chunk is answered, and for the target's end.
func (o *outgoing) finish(ctx context.Context, ended <-chan struct{}) {
	o.mu.Lock()
	var idle chan struct{}
	if o.out > 0 {
		idle = make(chan struct{})
		o.idle = idle
	}
	o.mu.Unlock()
	if idle != nil {
		select {
		case <-idle:
		case <-ctx.Done():
			return
		}
	}
	if ctx.Err() != nil {
		return
	}
	if err := o.control.Send(ctx, []byte{byte(kindEnd)}); err != nil {
		o.fail(err)
		return
	}
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// giveBack returns the chunks that are still out. The session is over. What the
// target answered counts, although the device did not say that it was sent.
func (o *outgoing) giveBack() {
	for _, sl := range o.slots {
		o.mu.Lock()
		c, f := sl.chunk, sl.feed
		sl.chunk, sl.feed = nil, nil
		var verdicts []transport.Verdict
		if c != nil && sl.posted && sl.answered {
			verdicts = o.verdicts(sl)
		} else if c != nil {
			verdicts = make([]transport.Verdict, len(c.Extents)) // Unknown
		}
		o.mu.Unlock()
		if c != nil {
			f.Done(c, verdicts)
		}
	}
}

// stream moves chunks until the feed is at its end.
func (o *outgoing) stream(ctx context.Context, f transport.Feed, i int) error {
	first := true
	for {
		var sl *outSlot
		start := time.Now()
		select {
		case sl = <-o.free:
		case <-ctx.Done():
			return nil
		}
		o.stats.Wiring.Since(start)
		c, err := f.Next(ctx, i)
		if err != nil {
			o.free <- sl
			if err == io.EOF || ctx.Err() != nil {
				return nil
			}
			return err
		}
		if first {
			o.stats.Streams.Add(1)
			first = false
		}
		o.mu.Lock()
		sl.chunk, sl.feed, sl.posted, sl.completed, sl.answered = c, f, false, false, false
		o.out++
		o.mu.Unlock()
		if err := o.send(ctx, sl); err != nil {
			return err
		}
	}
}

// Close implements transport.Outgoing.
func (o *outgoing) Close() error {
	o.close(net.ErrClosed)
	o.mu.Lock()
	ran := o.ran // it does not begin any more
	o.mu.Unlock()
	if ran {
		return nil // Run ends the session
	}
	return o.end()
}

// SetMaxRate implements transport.Outgoing.
func (o *outgoing) SetMaxRate(bytesPerSecond int64) { o.pacer.Set(bytesPerSecond) }

// Stats implements transport.Outgoing.
func (o *outgoing) Stats() transport.Stats {
	s := o.stats.Read()
	s.PaceTime = o.pacer.Waited()
	return s
}
