package verbs

import (
	"context"
	"errors"
	"fmt"
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
)

// outgoing is an edge at the source.
type outgoing struct {
	t       *Transport
	edge    transport.Edge
	grant   transport.Grant
	opt     transport.DialOptions
	control transport.Control
	pacer   *pace.Pacer
	stats   counters

	s        *session
	slots    []*outSlot
	cells    []*rdma.MemoryRegion // for each domain, of all slots
	cellKeys []uint32             // of the target's cells
	free     chan *outSlot
	probed   chan error

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
	regions    []*rdma.MemoryRegion // of data, for each domain
	remote     window
	remoteCell uint64

	hasher xxh3.Hasher
	framer chunkio.Framer
	reqs   []rdma.SendRequest
	seals  []wire.Seal
	errs   []error // why an extent is not sound

	// Guarded by outgoing.mu.
	generation uint16
	chunk      *transport.Chunk
	feed       transport.Feed
	pair       *pair
	total      int64
	completed  bool // the device needs the slab no more
	answered   bool
	answers    []wire.Answer
}

func newOutgoing(t *Transport, edge transport.Edge, g transport.Grant, o transport.DialOptions, c transport.Control) *outgoing {
	out := &outgoing{
		t: t, edge: edge, grant: g, opt: o, control: c,
		pacer:  pace.New(o.MaxRate),
		s:      newSession(t),
		probed: make(chan error, 1),
	}
	out.life, out.close = context.WithCancelCause(context.Background())
	return out
}

// end fences the session and closes its control. Idempotent.
func (o *outgoing) end() error {
	o.endOnce.Do(func() {
		o.close(net.ErrClosed)
		o.endErr = o.s.fence()
		_ = o.control.Close()
	})
	return o.endErr
}

// fail breaks the session. The first cause counts.
func (o *outgoing) fail(err error) { o.close(err) }

// take handles a completion. It is called by the goroutine of a domain.
func (o *outgoing) take(d *domain, wc *rdma.WorkCompletion) {
	if wc.ID&unsignaledID == 0 {
		d.outstanding.Add(-1)
	}
	err := wc.Err()
	if wc.ID == probeID {
		o.probed <- err
		return
	}
	if err != nil {
		if wc.Status != rdma.Flushed { // the first one is the cause, the rest follows from it
			o.fail(fmt.Errorf("%s: %w", d.path.rail, err))
		}
		return
	}
	if wc.ID&unsignaledID != 0 {
		return
	}
	slot, generation := uint16(wc.ID), uint16(wc.ID>>16)
	o.mu.Lock()
	sl := o.slots[slot]
	if sl.generation != generation || sl.chunk == nil || sl.completed {
		o.mu.Unlock()
		o.fail(fmt.Errorf("%s: completion of request %#x, which is not outstanding", d.path.rail, wc.ID))
		return
	}
	sl.completed = true
	sl.pair.load.Add(-sl.total)
	o.settle(sl)
}

// unsignaledID marks requests that complete only when they fail.
const unsignaledID = 1 << 62

// settle hands a chunk back once the device and the target are done with it. It
// is called with mu held, and gives it up.
func (o *outgoing) settle(sl *outSlot) {
	if !sl.completed || !sl.answered {
		o.mu.Unlock()
		return
	}
	c, f, verdicts := sl.chunk, sl.feed, o.verdicts(sl)
	sl.chunk, sl.feed = nil, nil
	sl.generation++
	o.leave()
	o.mu.Unlock()
	o.stats.chunks.Add(1)
	f.Done(c, verdicts)
	o.free <- sl
}

// leave counts a slot as free. Called with mu held.
func (o *outgoing) leave() {
	if o.out--; o.out == 0 && o.idle != nil {
		close(o.idle)
		o.idle = nil
	}
}

// verdicts joins what the target says with what is known here.
func (o *outgoing) verdicts(sl *outSlot) []transport.Verdict {
	v := make([]transport.Verdict, len(sl.answers))
	for i, a := range sl.answers {
		v[i].Code = transport.Code(a.Code)
		switch {
		case sl.seals[i].State == wire.SourceShort:
			v[i].Code, v[i].Err = transport.SourceShort, sl.errs[i]
		case sl.seals[i].State == wire.SourceBad:
			v[i].Code, v[i].Err = transport.SourceFailed, sl.errs[i]
		case v[i].Code == transport.Placed:
			v[i].Digest = sl.seals[i].Digest
		case v[i].Code == transport.Mismatch:
			v[i].Err = transport.ErrMismatch
			o.stats.mismatches.Add(1)
		case a.Text != "":
			v[i].Err = errors.New(a.Text)
		case v[i].Code == transport.Refused:
			v[i].Err = errors.New("refused by the target")
		}
	}
	return v
}

// Run implements transport.Outgoing. It can be called once.
func (o *outgoing) Run(ctx context.Context, f transport.Feed) error {
	o.mu.Lock()
	switch {
	case o.life.Err() != nil:
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
			o.fail(err)
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
		return fence
	case parent.Err() != nil:
		return parent.Err()
	default:
		return errors.Join(cause, fence)
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

// giveBack returns the chunks that nobody answered. The session is over.
func (o *outgoing) giveBack() {
	for _, sl := range o.slots {
		o.mu.Lock()
		c, f := sl.chunk, sl.feed
		sl.chunk, sl.feed = nil, nil
		o.mu.Unlock()
		if c != nil {
			f.Done(c, make([]transport.Verdict, len(c.Extents))) // Unknown
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
		o.stats.wiring.since(start)
		c, err := f.Next(ctx, i)
		if err != nil {
			o.free <- sl
			if err == io.EOF || ctx.Err() != nil {
				return nil
			}
			return err
		}
		if first {
			o.stats.streams.Add(1)
			first = false
		}
		o.mu.Lock()
		sl.chunk, sl.feed, sl.completed, sl.answered = c, f, false, false
		o.out++
		o.mu.Unlock()
		if err := o.send(ctx, sl); err != nil {
			return err
		}
	}
}

// receive takes the target's messages until its end.
func (o *outgoing) receive(ctx context.Context, ended chan<- struct{}) error {
	for {
		msg, err := o.control.Receive(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("the control stream of the session ended: %w", err)
		}
		if len(msg) > 0 && kind(msg[0]) == kindAnswers {
			if err := eachAnswer(msg, o.answer); err != nil {
				return err
			}
			continue
		}
		if err := decode(msg, kindEnd, nil); err != nil {
			return err
		}
		close(ended)
		return nil
	}
}

func (o *outgoing) answer(slot, generation uint16, seq uint64, answers []wire.Answer) error {
	o.mu.Lock()
	if int(slot) >= len(o.slots) {
		o.mu.Unlock()
		return fmt.Errorf("%w: an answer for slot %d", errMessage, slot)
	}
	sl := o.slots[slot]
	if sl.chunk == nil || sl.generation != generation || sl.answered || sl.chunk.Seq != seq || len(sl.chunk.Extents) != len(answers) {
		o.mu.Unlock()
		return fmt.Errorf("%w: an answer for chunk %d in slot %d, generation %d", errMessage, seq, slot, generation)
	}
	for _, a := range answers {
		if transport.Code(a.Code) == transport.Unknown {
			o.mu.Unlock()
			return errors.New("the target does not know what became of a chunk")
		}
	}
	sl.answers = append(sl.answers[:0], answers...)
	sl.answered = true
	o.settle(sl)
	return nil
}

// Close implements transport.Outgoing.
func (o *outgoing) Close() error {
	o.close(net.ErrClosed)
	o.mu.Lock()
	ran := o.ran
	o.ran = true // Run is not to begin any more
	o.mu.Unlock()
	if ran {
		return nil // Run ends the session
	}
	return o.end()
}

// SetMaxRate implements transport.Outgoing.
func (o *outgoing) SetMaxRate(bytesPerSecond int64) { o.pacer.Set(bytesPerSecond) }

// Stats implements transport.Outgoing.
func (o *outgoing) Stats() transport.Stats { return o.stats.read() }
