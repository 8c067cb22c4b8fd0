package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/place"
	"github.com/xferd/xferd/cmd/xferctl/internal/progress"
)

const (
	cancelWait = 10 * time.Second // for the end of a cancelled transfer
	lostWait   = time.Minute      // for a server that went away
	// callGrace is how much longer than it should an answer may take until the
	// connection counts as lost.
	callGrace = 20 * time.Second
	// slowGrace is after how much of that it is said that there is none yet.
	slowGrace = 2 * time.Second
)

func timeNow() time.Time { return time.Now() }

// follower follows one transfer to its end.
type follower struct {
	a       *app
	api     API
	mapping *place.Mapping // nil where it was not made here
	compare xferv1.Compare
	named   bool // its id was chosen by who typed the command
	detach  bool
	dryRun  bool
	itemize bool
	// progress: show it. cancels: the first SIGINT cancels. quiet: show nothing
	// while it runs, not even events.
	progress, cancels, quiet bool

	name    string
	known   bool // a server knew the transfer
	wasOver bool // before it was submitted here
	draw    *progress.Renderer
	signals <-chan os.Signal

	interrupted bool      // a cancel is under way
	deadline    time.Time // then: how long to wait for it
	lostSince   time.Time // zero while the server answers
	toldLost    bool      // and that it does not was said
	retries     int       // in a row
	last        *xferv1.Transfer
	landed      landed
	waits       string    // the reason, as it was told; empty while it moves
	waitsSince  time.Time // then
	cancelDone  chan error
	stopCancel  context.CancelFunc
}

// answer is what one long poll gave.
type answer struct {
	t   *xferv1.Transfer
	err error
}

// follow waits until the transfer f.name is over, and returns it in full. It
// shows progress meanwhile. Errors carry their exit code.
func (f *follower) follow(ctx context.Context) (*xferv1.Transfer, error) {
	now := time.Now()
	f.draw = progress.New(f.a.err, f.a.env.Terminal(f.a.env.Stderr), f.a.env.Width, now)
	defer f.clear()
	if f.signals == nil {
		c, stop := f.a.env.Signals()
		defer stop()
		f.signals = c
	}
	defer f.endCancel()
	for {
		t, err, over := f.poll(ctx)
		if over || err != nil {
			return t, err
		}
	}
}

// poll makes one long poll, and handles what happens meanwhile.
func (f *follower) poll(ctx context.Context) (t *xferv1.Transfer, err error, over bool) {
	every := f.interval()
	callCtx, cancel := context.WithTimeout(ctx, every+callGrace)
	defer cancel()
	answers := make(chan answer, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		t, err := f.api.WaitFor(callCtx, f.name, every)
		answers <- answer{t, err}
	}()
	defer func() { cancel(); <-done }()

	var giveUp <-chan time.Time
	if f.interrupted {
		timer := time.NewTimer(time.Until(f.deadline))
		defer timer.Stop()
		giveUp = timer.C
	}
	slow := time.NewTimer(every + slowGrace)
	defer slow.Stop()
	for {
		select {
		case s := <-f.signals:
			return nil, f.signal(ctx, s), false
		case <-giveUp:
			return nil, f.cancelled("its end was not awaited"), false
		case err := <-f.cancelDone:
			f.cancelDone = nil
			return nil, f.cancelAnswered(err), false
		case <-slow.C: // the call may still succeed
			f.silent(slowGrace, nil)
			slow.Reset(time.Second)
		case ans := <-answers:
			if ans.err != nil {
				late := callCtx.Err() != nil && ctx.Err() == nil // no answer at all
				return nil, f.failed(ctx, ans.err, late), false
			}
			return f.answered(ctx, ans.t)
		}
	}
}

// answered takes the transfer as it is now.
func (f *follower) answered(ctx context.Context, t *xferv1.Transfer) (_ *xferv1.Transfer, err error, over bool) {
	f.newsOfReturn()
	f.lostSince, f.retries, f.last, f.known = time.Time{}, 0, t, true
	if err := f.a.out.failed; err != nil { // nobody reads the events
		return nil, exit.With(exit.Failed, err), false
	}
	f.news(t)
	if terminal(t.GetState()) {
		return f.full(ctx, t), nil, true
	}
	return nil, nil, false
}

// interval is how long one poll lasts at most. Longer ones cost less, but notice
// later that the server does not answer.
func (f *follower) interval() time.Duration {
	switch {
	case !f.lostSince.IsZero(): // to say soon that it is back
		return 0
	case f.events():
		return time.Second
	case f.quiet: // there may be many that wait
		return 20 * time.Second
	case !f.progress:
		return 2 * time.Second
	case f.a.env.Terminal(f.a.env.Stderr):
		return 500 * time.Millisecond
	}
	return 2 * time.Second
}

// passes reports whether the same call can succeed in a while. That a node is
// not known passes only where it was before: a server that just started finds
// the others within seconds.
func (f *follower) passes(err error) bool {
	if is(err, xferv1.Reason_REASON_NODE_UNKNOWN) {
		return f.known
	}
	return client.AsError(err).Retryable || shut(err) && f.known // a socket is made before it is opened to all
}

// failed handles an error of a poll: one that can pass is waited out.
func (f *follower) failed(ctx context.Context, err error, late bool) error {
	if ctx.Err() != nil || !late && !f.passes(err) {
		return err
	}
	f.silent(0, err)
	if time.Since(f.lostSince) >= lostWait {
		f.clear()
		return exit.With(exit.Unavailable, fmt.Errorf("%s\nThe transfer goes on without xferctl, if its node lives: %s", f.a.errorText(err), f.name))
	}
	wait := min(250*time.Millisecond<<min(f.retries, 5), 5*time.Second)
	f.retries++
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case s := <-f.signals:
		return f.signal(ctx, s)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// silent notes that there was no answer, with the error if there is one yet. The
// first time, it was due for so long.
func (f *follower) silent(due time.Duration, err error) {
	if f.lostSince.IsZero() {
		f.lostSince = time.Now().Add(-due)
	}
	f.newsOfLoss(err)
}

// signal handles one. An error ends the follower.
func (f *follower) signal(ctx context.Context, s os.Signal) error {
	f.clear()
	switch {
	case !f.cancels || s != os.Interrupt:
		return f.detached(signalCode(s))
	case f.interrupted:
		return exit.With(exit.Interrupt, fmt.Errorf("not waited for the end of %s; %s", f.name, f.goesOn()))
	}
	f.interrupted, f.deadline = true, time.Now().Add(cancelWait)
	if !f.a.flags.quiet {
		f.a.complain("cancelling " + f.name + "; once more to leave at once")
	}
	cctx, stop := context.WithTimeout(ctx, cancelWait)
	f.stopCancel = stop
	done := make(chan error, 1)
	f.cancelDone = done
	go func() { // ends with cctx, which endCancel ends
		_, err := f.api.Cancel(cctx, f.name, false)
		done <- err
	}()
	return nil
}

// goesOn says how to go on from what landed. A command with --id names the same
// transfer again, and that is over.
func (f *follower) goesOn() string {
	how := "goes on from here"
	if f.last.GetSpec().GetDestination().GetRegion() != nil { // nothing that landed in memory is kept
		how = "begins anew"
	}
	if f.named {
		return "another --id, or xferctl transfers retry " + shortName(f.name) + ", " + how
	}
	return "running the same command again " + how
}

// signalCode is the exit code after a signal.
func signalCode(s os.Signal) int {
	switch s {
	case syscall.SIGTERM:
		return exit.Terminate
	case syscall.SIGHUP:
		return exit.Hangup
	}
	return exit.Interrupt
}

// clear takes progress off the terminal, before something else is printed.
func (f *follower) clear() {
	if f.draw != nil {
		f.draw.Clear()
	}
}

// endCancel ends a cancel that is still under way.
func (f *follower) endCancel() {
	if f.stopCancel == nil {
		return
	}
	f.stopCancel()
	if f.cancelDone != nil {
		<-f.cancelDone
	}
}

// cancelAnswered takes the answer of CancelTransfer. What can pass is left to
// the polls, which tell in the end what became of the transfer.
func (f *follower) cancelAnswered(err error) error {
	switch {
	case err == nil:
	case is(err, xferv1.Reason_REASON_TRANSFER_NOT_FOUND):
		return exit.With(exit.Interrupt, errors.New("interrupted before the transfer was accepted; nothing was copied"))
	case is(err, xferv1.Reason_REASON_ALREADY_FINISHED), is(err, xferv1.Reason_REASON_ALREADY_COMMITTED):
	default:
		return f.cancelled("it could not be cancelled: " + f.a.errorText(err))
	}
	return nil
}

// cancelled is the error after a cancel whose end is not known.
func (f *follower) cancelled(why string) error {
	f.clear()
	return exit.With(exit.Interrupt, fmt.Errorf("interrupted; %s. Look at it with: xferctl transfers show %s\n%s", why, shortName(f.name), f.goesOn()))
}

// detached is the error when xferctl leaves and the transfer goes on.
func (f *follower) detached(code int) error {
	if s := f.last.GetState(); s == xferv1.State_STATE_PAUSED || s == xferv1.State_STATE_PAUSING {
		return exit.With(code, fmt.Errorf("the transfer is paused, and goes on after: xferctl transfers resume %s", shortName(f.name)))
	}
	return exit.With(code, fmt.Errorf("the transfer goes on: %s", f.name))
}

// full returns the transfer with what long polls leave out.
func (f *follower) full(ctx context.Context, t *xferv1.Transfer) *xferv1.Transfer {
	ctx, cancel := context.WithTimeout(ctx, callGrace)
	defer cancel()
	if all, err := f.api.Get(ctx, f.name); err == nil {
		return all
	}
	return t // the state and counters are there, which is what counts
}
