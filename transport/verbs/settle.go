package verbs

import (
	"context"
	"errors"
	"fmt"

	"github.com/xferd/xferd/internal/wire"
	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/internal/chunkio"
)

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
		// The first one is the cause, the rest follows from it. Some drivers flush
		// the cause too.
		o.deviceSays(d.blame(err))
		return
	}
	if wc.ID&unsignaledID != 0 {
		return
	}
	if wc.ID&burstID != 0 {
		d.pairs[wc.ID>>32&0xffff].room.Release(int64(wc.ID & 0xffffffff))
		o.stall.hear()
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
	d.account.flows[asSource].moved(sl.total)
	o.stall.hear()
	sl.pair.load.Add(-sl.total)
	sl.pair.room.Release(int64(sl.tail))
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
	o.unstage(sl)
	sl.generation++
	o.stall.paid()
	o.leave()
	o.mu.Unlock()
	o.stats.Chunks.Add(1)
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

// verdicts joins what the target says with what is known here. They hold until
// the slot is used again. Called with mu held.
func (o *outgoing) verdicts(sl *outSlot) []transport.Verdict {
	var mismatches int64
	sl.verdicts, mismatches = chunkio.Verdicts(sl.verdicts[:0], sl.answers, sl.seals, sl.errs)
	o.stats.Mismatches.Add(mismatches)
	return sl.verdicts
}

// receive takes the target's messages until its end.
func (o *outgoing) receive(ctx context.Context, ended chan<- struct{}) error {
	var room []wire.Answer
	answer := o.answer // once: it is a value of its own each time
	for {
		msg, err := o.control.Receive(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("the control stream of the session ended: %w", err)
		}
		if len(msg) > 0 && kind(msg[0]) == kindAnswers {
			o.stall.hear()
			if room, err = eachAnswer(msg, room[:0], answer); err != nil {
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

// errStalled: chunks are on their way, and the device and the target say nothing.
var errStalled = errors.New("nothing was heard of chunks that are on their way")

// stalled is the error of a session of which nothing is heard. Where only one path
// has something on its way it is that path's.
func (o *outgoing) stalled() error {
	err := fmt.Errorf("%w for %s", errStalled, o.t.cfg.Limits.Stall)
	var busy *domain
	for _, d := range o.s.domains {
		if d.outstanding.Load() == 0 {
			continue
		}
		if busy != nil {
			return err
		}
		busy = d
	}
	if busy == nil {
		return err
	}
	return busy.blame(err)
}

// answer notes what became of a chunk.
func (o *outgoing) answer(slot, generation uint16, seq uint64, answers []wire.Answer) error {
	o.mu.Lock()
	if int(slot) >= len(o.slots) {
		o.mu.Unlock()
		return fmt.Errorf("%w: an answer for slot %d", errMessage, slot)
	}
	sl := o.slots[slot]
	if sl.chunk == nil || !sl.posted || sl.generation != generation || sl.answered || sl.chunk.Seq != seq || len(sl.chunk.Extents) != len(answers) {
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
	if !sl.completed {
		select {
		case sl.domain.kick <- struct{}{}:
		default:
		}
	}
	o.settle(sl)
	return nil
}
