package verbs

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/xferd/xferd/internal/wire"
	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/internal/chunkio"
)

// landing is one session at the target.
type landing struct {
	in      *incoming
	control transport.Control
	s       *session
	slots   []*inSlot
	cells   *slab
	inPlace bool         // chunks are written to the memory of the edge
	memory  *mapped      // then
	granted atomic.Int32 // slots, from 0 on, that the source may use
	probes  chan int
	work    chan arrived
	working atomic.Int32 // chunks that were given to work and are not done
	direct  atomic.Bool  // one was taken without it

	ctx    context.Context // of the session: ends with the edge, or what broke it
	cancel context.CancelCauseFunc
	signs  vigil // of life, while chunks are worked on

	mu    sync.Mutex
	out   []parcel      // messages of answers that wait to be sent
	spare []parcel      // of the goroutine that sends them
	sign  bool          // a sign of life is due
	news  chan struct{} // holds one
}

// arrived is a slot that was announced.
type arrived struct {
	slot *inSlot
	gen  uint16
	by   *domain
}

// inSlot is memory that the source may write a chunk to, with its cell; in place
// the cell alone. Between
// the announcement and the answer it is worked on by one goroutine.
type inSlot struct {
	index      uint16
	data, cell []byte
	slab       *slab

	mu         sync.Mutex
	generation uint16
	busy       bool

	head     []byte // a copy of the cell, which the source could still change
	headers  chunkio.Headers
	arrivals []transport.Arrival
	seals    []wire.Seal
	answers  []wire.Answer
	hasher   xxh3.Hasher
}

func newLanding(in *incoming, c transport.Control, conn *connect) *landing {
	l := &landing{in: in, control: c, inPlace: conn.InPlace, news: make(chan struct{}, 1)}
	l.ctx, l.cancel = context.WithCancelCause(in.ctx)
	l.s = newSession(in.t, asTarget, in.edge.Peer, in.opt.Principal, conn.ChunkSize, l.fail)
	l.signs = vigil{every: in.t.cfg.Limits.Stall / 3, due: l.alive}
	return l
}

// end fences the session.
func (l *landing) end() error {
	l.cancel(net.ErrClosed)
	l.signs.stop()
	return l.s.fence()
}

func (l *landing) fail(err error) { l.cancel(err) }

// receive posts a receive on a queue pair, which is what an announcement uses up.
// One goroutine at a time does so for a domain.
func (l *landing) receive(d *domain, pair int) error {
	d.outstanding.Add(1)
	d.account.posts.Add(1)
	p := d.pairs[pair]
	p.receive[0].ID = uint64(pair)
	_, err := p.qp.PostReceive(p.receive[:])
	if err != nil {
		d.outstanding.Add(-1)
	}
	return err
}

// take handles a completion. It is called by the goroutine of a domain and does
// not block: there are never more announcements than slots. The sink may, while
// nothing else is to be done.
func (l *landing) take(d *domain, wc *rdma.WorkCompletion) {
	d.outstanding.Add(-1)
	if err := wc.Err(); err != nil {
		if wc.Status != rdma.Flushed || l.ctx.Err() == nil {
			l.fail(d.blame(err))
		}
		return
	}
	if wc.Op != rdma.CompletedReceiveWithImm || wc.Flags&rdma.HasImm == 0 || wc.Bytes != 0 && !l.inPlace {
		l.fail(fmt.Errorf("%w: completion of kind %d with %d bytes", errMessage, wc.Op, wc.Bytes))
		return
	}
	slot, generation := splitImmediate(wc.Imm)
	if l.inPlace && l.atOnce(d, wc, slot, generation) {
		return
	}
	if err := l.receive(d, int(wc.ID)); err != nil {
		l.fail(d.blame(err))
		return
	}
	if slot == 0xffff {
		select {
		case l.probes <- int(generation):
		default:
			l.fail(fmt.Errorf("%w: a probe too many", errMessage))
		}
		return
	}
	if int32(slot) >= l.granted.Load() || !l.slots[slot].begin(generation) {
		l.fail(fmt.Errorf("%w: an announcement of slot %d, generation %d, that the source does not own", errMessage, slot, generation))
		return
	}
	l.signs.owe()
	l.working.Add(1)
	l.work <- arrived{l.slots[slot], generation, d}
}

// atOnce takes a chunk in place that is small and came alone: that is faster than to
// hand it on. There is a receive more than slots, so that the one which it used up may
// be posted anew afterwards.
func (l *landing) atOnce(d *domain, wc *rdma.WorkCompletion, slot, generation uint16) bool {
	if int32(slot) >= l.granted.Load() {
		return false
	}
	sl := l.slots[slot]
	now := small(sl.cell)
	d.eager.Store(now)
	if !now || !d.alone || l.working.Load() > 0 || !sl.begin(generation) {
		return false
	}
	if !l.direct.Swap(true) {
		l.in.stats.Streams.Add(1)
	}
	l.signs.owe()
	err := l.land(arrived{sl, generation, d})
	if err == nil {
		if err = l.receive(d, int(wc.ID)); err != nil {
			err = d.blame(err)
		}
	}
	if err != nil {
		l.fail(err)
	}
	return true
}

// begin takes the slot from the source, if it owns this generation of it.
func (sl *inSlot) begin(generation uint16) bool {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if sl.busy || sl.generation != generation {
		return false
	}
	sl.busy = true
	return true
}

// end gives the slot back to the source: the next generation.
func (sl *inSlot) end() {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	sl.busy = false
	sl.generation++
}

// land takes a chunk out of its slot. An error is one of the session.
func (l *landing) land(a arrived) error {
	sl, in := a.slot, l.in
	start := time.Now()
	sl.head = copyCell(sl.head, sl.cell)
	head, tail, data, err := openCell(sl.head, in.edge.Epoch, a.gen)
	if err != nil {
		return err
	}
	seq, extents, total, err := sl.headers.Decode(head, &in.opt)
	if err == nil && (total != data || !l.inPlace && total > int64(len(sl.data))) {
		err = fmt.Errorf("%w: a chunk of %d bytes with %d bytes", errMessage, total, data)
	}
	if err != nil {
		return err
	}
	n := len(extents)
	sl.seals = slices.Grow(sl.seals[:0], n)[:n]
	if err := wire.DecodeTrailer(tail, seq, sl.seals); err != nil {
		return err
	}
	in.stats.Wiring.Since(start)
	places, err := in.sink.Place(l.ctx, seq, extents)
	if err == nil && len(places) != n {
		err = fmt.Errorf("sink gave %d landings for %d extents", len(places), n)
	}
	if err != nil {
		return err
	}
	// From here on Landed is called, whatever happens.
	sl.arrivals = slices.Grow(sl.arrivals[:0], n)[:n]
	at := int64(0)
	for i := range extents {
		sl.arrivals[i] = transport.Arrival{ExtentHeader: extents[i]}
		if l.inPlace {
			l.look(sl, i, &places[i])
			continue
		}
		mem := sl.data[at : at+extents[i].DataLength()]
		at += int64(len(mem))
		l.place(sl, i, &places[i], mem)
	}
	in.stats.Bytes.Add(total)
	in.stats.Copied.Add(at)
	verdicts := in.sink.Landed(l.ctx, seq, sl.arrivals)
	if len(verdicts) != n {
		return fmt.Errorf("sink gave %d verdicts for %d extents", len(verdicts), n)
	}
	in.stats.Chunks.Add(1)
	a.by.account.flows[asTarget].moved(total)
	sl.answers = chunkio.Answers(sl.answers[:0], sl.arrivals, verdicts)
	clear(sl.arrivals)
	l.signs.paid()
	l.say(sl, a.gen, seq, sl.answers)
	return nil
}

// place checks an extent and puts it where it belongs.
func (l *landing) place(sl *inSlot, i int, p *transport.Landing, mem []byte) {
	a := &sl.arrivals[i]
	if p.Refuse != nil {
		a.Code, a.Err = transport.Refused, p.Refuse
		return
	}
	if l.in.opt.Verify {
		start := time.Now()
		a.Digest = chunkio.Digest(&sl.hasher, &a.ExtentHeader, mem)
		l.in.stats.Hashing.Since(start)
	}
	a.Mem = mem
	chunkio.Judge(a, &sl.seals[i], l.in.opt.Verify)
	if a.Code == transport.Mismatch {
		l.in.stats.Mismatches.Add(1)
	}
	if a.Err != nil || p.File == nil && p.Mem == nil {
		return
	}
	a.Mem = nil
	start := time.Now()
	if p.Mem != nil {
		if err := chunkio.Scatter(&a.ExtentHeader, mem, p.Mem); err != nil {
			a.Code, a.Err, a.Digest = transport.Refused, fmt.Errorf("place the extent: %w", err), transport.Digest{}
		}
		l.in.stats.Placing.Since(start)
		return
	}
	write := l.in.t.files.WriteAt
	if p.Unsynced {
		write = (*os.File).WriteAt
	}
	for _, seg := range a.Segments {
		if _, err := write(p.File, mem[:seg.Length], seg.Offset); err != nil {
			a.Code, a.Err, a.Digest = transport.Refused, fmt.Errorf("place the extent: %w", err), transport.Digest{}
			break
		}
		mem = mem[seg.Length:]
	}
	l.in.stats.Placing.Since(start)
}
