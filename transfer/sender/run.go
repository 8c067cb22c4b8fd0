package sender

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/xferd/xferd/internal/failpoint"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/plan"
	"github.com/xferd/xferd/transport"
)

const (
	// pauseGrace is how long chunks on their way may take to arrive before a pause.
	pauseGrace = time.Second
	// abortGrace is how long the target may be silent after an Abort, and
	// abortMost how long it may take to end: it publishes what is complete, and
	// syncs, beside all others that end with it.
	abortGrace = 10 * time.Second
	abortMost  = time.Minute
	abortPing  = 2 * time.Second
)

// Run works on the edge until it is finished, stopped, or failed, and returns
// after everything of it ended. Its error is a *transfer.Error; entries that
// failed are none. It is called once.
//
// When it fails in a way that another attempt may mend, the target keeps the
// destination for that one; otherwise the target is told to let it go.
func (e *Edge) Run(ctx context.Context) (Summary, error) {
	e.began = time.Now()
	ready, err := e.cfg.prepare(&e.job, e.dirs)
	if err != nil {
		return Summary{}, e.asError(ctx, err)
	}
	e.scanner, e.sources, e.layout = ready.scanner, ready.sources, ready.layout
	e.needed = neededOf(e.sources, e.job.Spec.Pieces)

	// The control stream outlives the work, so that the target can be told why
	// it ends; its end is the end of the work.
	linkCtx, endLink := context.WithCancelCause(ctx)
	defer endLink(nil)
	workCtx, fail := context.WithCancelCause(linkCtx)
	defer fail(nil)
	e.fail, e.done = fail, workCtx.Done()

	var link, work sync.WaitGroup
	link.Go(func() { endLink(e.receive(linkCtx)) })
	link.Go(func() {
		if err := e.out.run(linkCtx, e.link); linkCtx.Err() == nil {
			endLink(lost(&e.job, transfer.PhaseMove, err))
		}
	})
	work.Go(func() {
		<-workCtx.Done()
		e.wakeAll()
	})

	opened, err := e.drive(workCtx, &work)
	if err != nil {
		fail(err)
	}
	stopped := errors.Is(err, errStopped)
	var last *transfer.Finished
	if stopped {
		select {
		case last = <-e.finished: // the stop came after it
		default:
		}
	}
	if last == nil && linkCtx.Err() == nil && (stopped || err != nil && opened && !transfer.ReasonOf(err).Transient()) {
		end := transfer.EndCancel
		if stopped {
			end = e.end
		}
		last = e.abort(linkCtx, end)
	}
	if stopped && last != nil && last.Complete {
		// Nothing was left to stop: the edge came to its end.
		e.finish(last)
		err = nil
	}
	fail(nil)
	work.Wait()
	endLink(nil)
	link.Wait()
	e.release()
	e.report()
	e.mu.Lock()
	summary := e.summary
	summary.Transport, summary.Progress = e.used, e.progressLocked()
	e.mu.Unlock()
	if err != nil {
		return summary, e.asError(ctx, err)
	}
	return summary, nil
}

// errStopped ends the work after Stop.
var errStopped = errors.New("the edge was stopped")

// drive opens the edge, starts the work and waits for its end. opened tells
// whether the target may hold the destination.
func (e *Edge) drive(ctx context.Context, work *sync.WaitGroup) (opened bool, err error) {
	e.out.post(e.firstMessage(ctx, work))
	select {
	case m := <-e.opened:
		if err := e.begin(m); err != nil {
			return true, err
		}
	case <-e.stopping:
		return true, errStopped
	case <-ctx.Done():
		return false, context.Cause(ctx)
	case <-time.After(openTimeout):
		return true, lost(&e.job, transfer.PhaseConnect, fmt.Errorf("no answer within %v", openTimeout))
	}
	start := func(f func(context.Context) error) {
		work.Go(func() {
			if err := f(ctx); err != nil {
				e.fail(err)
			}
		})
	}
	find := e.scan
	if e.job.Spec.Prepared {
		find = e.readyPosts
	}
	start(find)
	start(func(context.Context) error { return e.settleAll() })
	for range digestWorkers {
		start(e.makeDigests)
	}
	start(e.watch)
	for id, g := range e.sources {
		start(func(context.Context) error { return e.watchSource(id, g) })
	}
	start(e.ripen)
	moved := make(chan struct{})
	start(func(ctx context.Context) error {
		defer close(moved)
		return e.moveData(ctx)
	})

	for _, step := range []<-chan struct{}{e.allIn, moved} {
		select {
		case <-step:
		case <-e.stopping:
			return true, e.halt(ctx, moved)
		case <-ctx.Done():
			return true, context.Cause(ctx)
		}
	}
	if ctx.Err() != nil {
		return true, context.Cause(ctx)
	}
	failpoint.Hit("sender/finish")
	defer e.asks("Finish")()
	e.out.post(&transfer.Finish{})
	failpoint.Hit("sender/finish-sent")
	for {
		select {
		case m := <-e.finished:
			e.finish(m)
			return true, nil
		case <-e.stopping:
			return true, errStopped
		case <-ctx.Done():
			select { // the target ends the stream right after it
			case m := <-e.finished:
				e.finish(m)
				return true, nil
			default:
				return true, context.Cause(ctx)
			}
		}
	}
}

// begin takes the target's grant.
func (e *Edge) begin(m *transfer.Opened) error {
	if terr := e.job.digests(m); terr != nil {
		return terr
	}
	choice, err := e.choose(m.Transports)
	if err != nil {
		return err
	}
	o := plan.Options{
		ChunkSize: e.chunkSize, PackLimit: packLimit, Mismatches: int(e.job.Mismatches),
		// Enough for every stream to send one while others wait for their answer.
		MaxOutstanding: 6 * e.streams(),
	}
	if e.cfg.Pool != nil {
		o.MaxPacks = int(max(2, e.cfg.Pool.Budget()/8/e.chunkSize))
	}
	if choice.names[0] == transport.Local {
		o.MaxExtents = maxByFile
	}
	e.mu.Lock()
	e.credits = max(1, m.Credits)
	e.choice, e.back.all = choice, choice
	e.plan = plan.New(o)
	e.mu.Unlock()
	e.heard.Store(int64(time.Since(e.began)))
	failpoint.Hit("sender/opened")
	e.obs.Opened(m)
	return nil
}

// finish takes the target's last word.
func (e *Edge) finish(m *transfer.Finished) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.summary.Deleted, e.summary.TargetErr, e.summary.TargetStats, e.summary.Checked = m.Deleted, m.Err, m.Stats, m.Checked
}

// halt lets the chunks on their way arrive before a pause, for a moment: at a limited
// rate they may take long, and their bytes go again then. A cancel does not wait for
// them, since a file that they complete would be published.
func (e *Edge) halt(ctx context.Context, moved <-chan struct{}) error {
	if e.end != transfer.EndPause {
		return errStopped
	}
	if _, err := awaitFor(ctx, moved, pauseGrace); err != nil {
		e.log.Debug("stopped while the edge fails", "err", err)
	}
	return errStopped
}

// abort tells the target to end, and waits for its last word as long as it gives
// signs of life; without one it returns nil.
func (e *Edge) abort(ctx context.Context, end transfer.End) *transfer.Finished {
	e.out.post(&transfer.Abort{End: end})
	begin := time.Since(e.began)
	for {
		last, err := awaitFor(ctx, e.finished, abortPing)
		if last != nil {
			if last.Err == nil { // else it may hold the destination still
				e.mu.Lock()
				e.summary.Confirmed = end
				e.mu.Unlock()
			}
			return last
		}
		now := time.Since(e.began)
		heard := max(begin, time.Duration(e.heard.Load()))
		if err == nil && now-heard < abortGrace && now-begin < abortMost {
			e.out.post(&transfer.Ping{})
			continue
		}
		level := slog.LevelWarn
		if ctx.Err() != nil {
			level = slog.LevelDebug // the link or this node is at its end, which is told elsewhere
		}
		e.log.Log(context.WithoutCancel(ctx), level, "the target did not confirm the end of the edge", "err", err)
		return nil
	}
}

// wakeAll lets everything that waits see that the work is over.
func (e *Edge) wakeAll() {
	e.mu.Lock()
	e.ended = true
	e.credit.Broadcast()
	e.work.Broadcast()
	e.settle.Broadcast()
	e.mu.Unlock()
	e.digests.close()
}

// release closes what is left, when nothing runs any more. The last results may
// have overtaken acknowledgements, which still count.
func (e *Edge) release() {
	for _, s := range e.settled {
		if s.load != nil {
			e.countLanded(s.load)
			e.recycle(s.load)
		}
	}
	e.settled = nil
	e.files.closeAll()
	_ = e.dirs.Close()
	e.closeSources()
}

// asError gives an error of Run its reason.
func (e *Edge) asError(ctx context.Context, err error) *transfer.Error {
	if t, ok := errors.AsType[*transfer.Error](err); ok {
		return t
	}
	t := &transfer.Error{Reason: transfer.Internal, Side: transfer.SideOwner, Phase: transfer.PhaseMove, Node: e.cfg.Node, Err: err}
	switch {
	case errors.Is(err, errStopped):
		t.Reason = transfer.Cancelled
	case ctx.Err() != nil:
		if cause, ok := errors.AsType[*transfer.Error](context.Cause(ctx)); ok {
			return cause
		}
		t.Reason = transfer.NodeStopping
	}
	return t
}
