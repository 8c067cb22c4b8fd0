package receiver

import (
	"context"
	"sync"
	"time"

	"github.com/xferd/xferd/transfer"
)

// How long the edge rests between two tries to note something in a state directory
// that is full.
const (
	firstHold = 50 * time.Millisecond
	mostHold  = time.Second
)

// holding is what an edge waits for that is nobody's fault: room in the state
// directory. The owner is told of it as long as it lasts.
type holding struct {
	mu  sync.Mutex
	n   int // of those who wait
	why *transfer.Error
}

// hold calls note, which writes to the state directory, until there is room for it,
// or ctx or the edge's work ends. Its error is the last one of note. It blocks, so
// it is not for the loop.
func (e *edge) hold(ctx context.Context, note func() error) error {
	return e.holdUntil(ctx, e.busy.Done(), note)
}

// note appends to the journal like hold.
func (e *edge) note(ctx context.Context, typ uint8, payload []byte) error {
	return e.hold(ctx, func() error {
		_, err := e.journal.append(typ, payload)
		return err
	})
}

// holdUntil is hold that ends with over.
func (e *edge) holdUntil(ctx context.Context, over <-chan struct{}, note func() error) error {
	err := note()
	if transfer.ReasonOf(err) != transfer.StateNoSpace {
		return err
	}
	e.holding.enter(e, err)
	defer e.holding.leave(e)
	for wait := firstHold; transfer.ReasonOf(err) == transfer.StateNoSpace; wait = min(2*wait, mostHold) {
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-over:
			t.Stop()
			return err
		case <-ctx.Done():
			t.Stop()
			return err
		}
		err = note()
	}
	return err
}

// enter tells the owner of the first who waits.
func (h *holding) enter(e *edge, err error) {
	why := *e.r.destError(err, transfer.PhasePublish, "")
	why.Node = e.r.cfg.Node
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n++; h.n > 1 {
		return
	}
	h.why = &why
	e.log.Warn("the state directory is full: what cannot be noted there waits", "error", err)
	e.out.post(&transfer.Pong{Waiting: h.why})
}

// leave tells the owner that nobody waits any more.
func (h *holding) leave(e *edge) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n--; h.n > 0 {
		return
	}
	h.why = nil
	e.log.Info("the state directory has room again, or nothing waits for it any more")
	e.out.post(&transfer.Pong{})
}

// pong answers a ping.
func (e *edge) pong(seq uint64) {
	e.holding.mu.Lock()
	defer e.holding.mu.Unlock()
	e.out.post(&transfer.Pong{Seq: seq, Waiting: e.holding.why})
}

// unnoted takes the results out of list that fail for want of room in the state
// directory. That is no fault of an entry: the edge ends, which keeps what it has, and
// the transfer goes on when there is room.
func (e *edge) unnoted(list []transfer.Result) []transfer.Result {
	for i := range list {
		if err := list[i].Err; err != nil && err.Reason == transfer.StateNoSpace && err.Side == transfer.SideTarget {
			e.cancel(err)
			return append(list[:i:i], e.unnoted(list[i+1:])...)
		}
	}
	return list
}
