package memory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// edge is one attempt of a transfer into a region.
type edge struct {
	t      *Target
	log    *slog.Logger
	peer   Peer
	m      *transfer.Open
	layout *transfer.Layout
	w      Writing // nil in a dry run, and where there are no bytes
	since  time.Time
	out    *outbox

	ctx    context.Context // ends with the edge
	cancel context.CancelCauseFunc
	busy   context.Context // of work; ends when the edge is brought to an early end
	rest   context.CancelFunc
	over   chan struct{} // closed when the edge is fenced and its ranges are given up
	work   sync.WaitGroup

	// Only the loop uses these.
	incoming transport.Incoming
	stats    transport.Stats // of the data planes that are fenced
	scanned  bool
	session  uint32 // the highest of the data planes that are set up over the stream

	mu     sync.Mutex
	entry  entry
	shut   bool // the ranges were committed and not opened again
	direct bool // the source may write by itself, at any time
}

// ending says how an edge ends: by Finish or Abort where err is nil.
type ending struct {
	err      error
	finished *transfer.Finished // the last word to the owner; nil where it ends early
}

const (
	// silence is how long the owner may say nothing at all: it pings every 10 s.
	silence   = 30 * time.Second
	listening = 5 * time.Second // how often that is looked at

	flushTimeout   = 5 * time.Second
	refusalTimeout = 5 * time.Second
)

var (
	errOver    = errors.New("the edge is over")
	errRevoked = errors.New("the region was deleted, or its lease ended")
)

// serve runs the edge to its end.
func (e *edge) serve(link transfer.OwnerLink, opened *transfer.Opened) error {
	e.out = newOutbox(link.Send)
	e.out.post(opened)
	var side sync.WaitGroup
	side.Go(func() {
		if err := e.out.run(e.ctx); err != nil {
			e.cancel(ownerLost(err))
		}
	})
	inbox := make(chan transfer.ToTarget)
	side.Go(func() {
		for {
			m, err := link.Recv(e.ctx)
			if err != nil {
				e.cancel(ownerLost(err))
				return
			}
			select {
			case inbox <- m:
			case <-e.ctx.Done():
				return
			}
		}
	})
	end := e.run(inbox)

	ended := make(chan struct{})
	side.Go(func() { e.answerPings(inbox, ended) })
	e.end(&end)
	// The next attempt does not wait until this one's owner, who may be gone, was told.
	e.t.forget(e)
	close(ended)
	if end.finished != nil {
		e.out.post(end.finished)
	}
	e.out.close()
	select {
	case <-e.out.done:
	case <-time.After(flushTimeout):
	}
	if terr := e.refusal(end); terr != nil {
		// Beside the outbox, which may have ended with the edge's context.
		ctx, done := context.WithTimeout(context.WithoutCancel(e.ctx), refusalTimeout)
		_ = link.Send(ctx, &transfer.Refused{Err: terr})
		done()
	}
	e.cancel(errOver)
	side.Wait()
	if end.err == nil {
		e.log.Info("edge into a region ended", "region", e.m.Dest, "committed", e.committed())
	} else {
		e.log.Warn("edge into a region ended", "region", e.m.Dest, "committed", e.committed(), "error", end.err)
	}
	return end.err
}

func (e *edge) committed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.entry.published
}

// answerPings lets the owner see that the end is under way. Nothing else that it
// still says counts.
func (e *edge) answerPings(inbox <-chan transfer.ToTarget, ended <-chan struct{}) {
	for {
		select {
		case m := <-inbox:
			if p, ok := m.(*transfer.Ping); ok {
				e.out.post(&transfer.Pong{Seq: p.Seq})
			}
		case <-ended:
			return
		}
	}
}

// end brings the edge to rest: first the fence, then the ranges are given up, and
// only then anybody is told.
func (e *edge) end(end *ending) {
	err := e.fence(end.err == nil && end.finished != nil && end.finished.Complete)
	if end.err != nil {
		e.rest() // a commit that an Abort crosses comes to its end: it is the quicker way
	}
	e.work.Wait()
	e.rest()
	if end.finished != nil && !e.m.Options.Prepared && e.committed() {
		// A cancel that came after the commit, or met it: nothing was left to stop.
		end.finished.Complete = true
	}
	if e.w != nil {
		if cerr := e.w.Close(); cerr != nil {
			// What it could not store it stores with the next change.
			e.log.Error("give the ranges of a region up", "region", e.m.Dest, "error", cerr)
		}
	}
	if err != nil && end.err == nil {
		end.err = err
		if end.finished != nil {
			end.finished.Err, end.finished.Complete = e.unfenced(err), false
		}
	}
	if end.finished != nil {
		end.finished.Stats = e.stats
	}
}

// refusal is what the owner is told of an edge that this side ends early; nil where
// there is nobody to tell.
func (e *edge) refusal(end ending) *transfer.Error {
	if end.finished != nil || end.err == nil {
		return nil
	}
	terr, ok := errors.AsType[*transfer.Error](end.err)
	switch {
	case ok && terr.Reason == transfer.OwnerUnreachable:
		return nil
	case ok:
		return terr
	case errors.Is(end.err, context.Canceled):
		return errClosed
	case errors.Is(end.err, errSuperseded):
		return e.t.refuse(transfer.StaleEpoch, e.m.Dest, end.err)
	case errors.Is(end.err, transport.ErrUnfenced):
		return e.unfenced(end.err)
	}
	terr = e.t.refuse(transfer.Internal, e.m.Dest, end.err)
	terr.Phase = transfer.PhaseMove
	return terr
}

// unfenced is the failure of a transfer whose memory is lost.
func (e *edge) unfenced(err error) *transfer.Error {
	terr := e.t.refuse(transfer.RegionQuarantined, e.m.Dest, err)
	terr.Phase = transfer.PhaseFinish
	terr.Hint = "make another region; this one and its memory come free when xferd is started again"
	return terr
}

// ownerLost is the end of an edge by its link.
func ownerLost(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return &transfer.Error{Reason: transfer.OwnerUnreachable, Side: transfer.SideTarget, Phase: transfer.PhaseMove, Err: err}
}

func (e *edge) broken(format string, args ...any) *ending {
	terr := e.t.refuse(transfer.ProtocolError, "", fmt.Errorf(format, args...))
	terr.Phase = transfer.PhaseMove
	return &ending{err: terr}
}
