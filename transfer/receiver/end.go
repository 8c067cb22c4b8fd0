package receiver

import (
	"context"
	"errors"

	"github.com/xferd/xferd/internal/failpoint"
	"github.com/xferd/xferd/transfer"
)

// end brings the edge to rest and leaves the destination as the ending asks. It
// returns the last message to the owner, nil where there is none to hear it.
func (e *edge) end(end *ending) *transfer.Finished {
	ctx := context.WithoutCancel(e.ctx)
	e.rest()
	e.fence()
	e.work.stop()
	// What is complete is published when nobody said that it is not wanted, and
	// there is time for it.
	unwanted := end.how == endCancelled || end.how == endPurged
	e.pub.stop(unwanted || errors.Is(end.err, errClosed))
	if unwanted && end.err == nil && e.allUnder() {
		e.completes(end)
	}
	final := end.finished
	if final == nil && end.how != endLost {
		final = &transfer.Finished{}
	}
	if final != nil {
		final.Stats = e.stats
		e.mu.Lock()
		final.Checked = e.checked
		e.mu.Unlock()
	}
	if e.opt.DryRun {
		return final
	}
	if err := e.leaveBehind(ctx, end.how); err != nil {
		e.log.Error("end of edge", "error", err)
		if final != nil && final.Err == nil {
			final.Err = e.r.destError(stateError(err), transfer.PhaseFinish, e.dest.path)
		}
	}
	e.mu.Lock()
	claims := e.claims
	e.claims = nil
	e.mu.Unlock()
	e.r.unclaim(claims...)
	return final
}

// allUnder says whether nothing is left to stop: every entry has its result, and what
// remains removes nothing. What was at its point of decision when the owner's cancel
// came may have been the last.
func (e *edge) allUnder() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.scanned != nil && e.outstanding == 0 && !e.opt.Delete && !e.opt.DryRun
}

// completes brings a transfer to its end that a cancel came too late for: it must not be
// told as cancelled when its tree is complete (P6).
func (e *edge) completes(end *ending) {
	fin := e.finish(e.ctx)
	if fin.Complete = e.ctx.Err() == nil; fin.Complete {
		end.how, end.finished = endFinished, fin
	}
}

// leaveBehind keeps or removes temps, directories and the lock.
func (e *edge) leaveBehind(ctx context.Context, how how) error {
	uid := e.m.UID
	failpoint.Hit("receiver/end")
	e.dropMark()
	if how == endFinished || how == endPurged {
		e.dropTemps()
	} else if err := e.keepPartials(ctx); err != nil {
		return err
	}
	failpoint.Hit("receiver/end-settle")
	// An end that is complete waits for room, as long as its owner is there.
	last := func(note func() error) error { return note() }
	if how == endFinished {
		last = func(note func() error) error { return e.holdUntil(e.ctx, nil, note) }
	}
	err := last(func() error {
		_, err := e.journal.append(frameSettled, nil)
		return err
	})
	if err != nil {
		return err
	}
	switch how {
	case endPurged:
		if err := e.r.purge(ctx, uid); err != nil {
			return err
		}
	case endFinished:
		if err := e.dropOutdated(ctx); err != nil {
			return err
		}
	}
	switch how {
	case endLost:
		return nil
	case endPaused:
		return e.r.setPaused(ctx, uid)
	}
	e.mu.Lock()
	nothing := e.failed > 0 && e.published == 0
	e.mu.Unlock()
	if how != endFinished || nothing {
		if err := e.r.removeMadeDirs(uid); err != nil {
			e.log.Warn("remove empty directories", "error", err)
		}
	}
	failpoint.Hit("receiver/end-unlock")
	if err := last(func() error { return stateError(e.r.unlock(ctx, uid)) }); err != nil {
		return err
	}
	failpoint.Hit("receiver/end-unlocked")
	e.r.dropJournal(uid, e)
	return nil
}

// dropTemps removes everything that was begun.
func (e *edge) dropTemps() {
	e.mu.Lock()
	files := make([]*file, 0, len(e.files))
	for _, f := range e.files {
		files = append(files, f)
	}
	e.mu.Unlock()
	for _, f := range files {
		e.dropTemp(f)
	}
}
