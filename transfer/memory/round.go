package memory

import (
	"errors"
	"fmt"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// On an edge of a prepared transfer there is one entry after the other, each of all
// the ranges: the posts. Their order is the owner's, who sends nothing of the next
// one before it has the result of the one before. What comes of another entry than
// the one that is due is refused: what was committed is never written again by a
// chunk that is late.

// commitRound makes the ranges whole that a post wrote, and makes ready for the next.
// It is called by the stream that brought the last bytes, so that whoever waits for
// them does so no longer than that.
func (e *edge) commitRound() {
	n := &e.entry // of which nothing changes while its phase is committed
	r := transfer.Result{Entry: n.number, Kind: transfer.KindRegion, Bytes: n.size, Digest: transfer.FileDigest(n.chunkSize, n.size, n.digests)}
	generation, err := e.w.Commit(Commit{Digest: r.Digest, Bytes: n.size})
	if err == nil {
		r.Outcome, r.Change, r.Generation = transfer.OutcomePublished, transfer.ChangeContent, generation
	} else {
		r = transfer.Result{Entry: n.number, Kind: transfer.KindRegion, Outcome: transfer.OutcomeFailed, Err: e.publishError(err)}
	}
	e.mu.Lock()
	if err == nil {
		n.published, e.shut = true, true
		if e.direct { // the source may write at any time
			_ = e.reopen() // where that fails the region ends, and so does the edge
		}
	}
	e.nextRound()
	e.mu.Unlock()
	e.out.post(&transfer.Results{Results: []transfer.Result{r}})
}

// reopen opens the ranges after a commit, if that was not done. The mutex is held.
func (e *edge) reopen() error {
	if !e.shut {
		return nil
	}
	if err := e.w.Again(); err != nil {
		return err
	}
	e.shut = false
	return nil
}

// grants is called before the source can come in by a transport.
func (e *edge) grants(name string) error {
	if name != transport.RDMA {
		return nil
	}
	// The source writes by itself from here on.
	if !e.m.Options.Prepared {
		e.w.Touched()
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.direct = true
	return e.reopen()
}

// nextRound lets the extents of the next post land. The mutex is held.
func (e *edge) nextRound() {
	n := &e.entry
	n.number++
	n.phase, n.count = phaseWanted, 0
	clear(n.landed)
	clear(n.digests)
}

// giveUpRound ends a post whose source failed. What landed of it stays torn until the
// next one is committed.
func (e *edge) giveUpRound(m *transfer.EntryGiveUp) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := &e.entry
	switch {
	case m.Entry < n.number: // it crossed the result
		return nil
	case m.Entry > n.number || n.phase != phaseWanted || n.writers > 0:
		return fmt.Errorf("post %d is given up, and %d is due, with %d writers", m.Entry, n.number, n.writers)
	}
	e.out.post(&transfer.Results{Results: []transfer.Result{
		{Entry: n.number, Kind: transfer.KindRegion, Outcome: transfer.OutcomeFailed, Err: m.Err},
	}})
	e.nextRound()
	return nil
}

// spoil notes, when a data plane is fenced by which the source wrote on its own, that
// bytes of a post may have landed of which nothing was heard. The mutex is held.
func (e *edge) spoil(clean bool) {
	if e.direct && !clean && e.entry.prepared {
		e.w.Touched()
	}
	e.direct = false
}

// publishError is why a commit failed.
func (e *edge) publishError(err error) *transfer.Error {
	if terr, ok := errors.AsType[*transfer.Error](err); ok {
		return terr
	}
	terr := e.t.refuse(transfer.Internal, e.m.Dest, err)
	terr.Phase = transfer.PhasePublish
	return terr
}
