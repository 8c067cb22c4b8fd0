package lifecycle

import (
	"context"
	"strings"
	"time"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/sender"
)

const (
	// releaseTimeout bounds how long a cancel, or a transfer in whose way an
	// ended one is, waits for a target that does not answer.
	releaseTimeout = 5 * time.Second
	// releaseMost is how long the target may take when nobody waits for it: it
	// has to end the attempt before.
	releaseMost = time.Minute
	// fencedAfter is when a target that does not hear of its owner any more has
	// fenced by itself (30 s of silence, and the fence): so long the cancel of a
	// transfer into a region waits for one that does not answer.
	fencedAfter = 45 * time.Second
)

// releaseWait is how long a cancel waits for the target.
func (j *job) releaseWait() time.Duration {
	t := j.current()
	if _, region := t.Spec.IntoRegion(); !region || !j.owes() {
		return releaseTimeout
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.edgeOver.IsZero() { // in an earlier life
		return fencedAfter
	}
	return max(releaseTimeout, fencedAfter-time.Since(j.edgeOver))
}

// learn notes what an attempt leaves at the target. held is what was known
// before it. It is stored with the transition that follows.
func (j *job) learn(held bool, s *sender.Summary, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.committed = err == nil
	j.edgeOver = time.Now()
	switch {
	case err == nil, s.Confirmed == transfer.EndPurge, s.Confirmed == transfer.EndCancel && !j.purge:
		j.holds = false
	case s.Refused:
		j.holds = held
	}
}

func (j *job) setCommitted(is bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.committed = is
}

// owes reports whether the target may hold the destination.
func (j *job) owes() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.holds
}

// release ends a cancelled transfer that has no running attempt. The target is
// told first, if it can be reached in a short time; where not, that goes on in
// the background.
func (j *job) release(ctx context.Context) {
	j.tellFirst(ctx)
	if ctx.Err() != nil {
		return // the node stops; the next start goes on here
	}
	if _, err := j.step(ctx, evAborted, j.cancelled); err != nil {
		j.e.cfg.Log.Error("store the state of a transfer", "transfer", j.id, "err", err)
		rest(ctx, admitAgain)
	}
}

// tellFirst tells the target that the transfer ends, as long as releaseWait says that
// this is waited for.
func (j *job) tellFirst(ctx context.Context) {
	short, cancel := context.WithTimeout(ctx, j.releaseWait())
	defer cancel()
	err := j.letGo(short)
	// A node that has just started does not know the others yet.
	for err != nil && asError(err, j.e.cfg.Node).Reason.Transient() && j.again(short) {
		err = j.letGo(short)
	}
}

// again waits a moment, less when a node joins, and reports whether there is
// time for one more try.
func (j *job) again(ctx context.Context) bool {
	timer := time.NewTimer(firstBackoff)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-j.e.cfg.Peers.Joined():
	}
	return ctx.Err() == nil
}

func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// letGo makes the target let go of the destination, unless it does not hold it:
// it opens an edge only to end it. A target that does not know the transfer any
// more takes the destination and lets it go again.
func (j *job) letGo(ctx context.Context) error {
	select {
	case j.telling <- struct{}{}:
	case <-ctx.Done():
		return j.untold(ctx)
	}
	defer func() { <-j.telling }()
	if !j.owes() {
		return nil
	}
	return j.tell(ctx)
}

func (j *job) untold(ctx context.Context) error {
	t := j.current()
	return &transfer.Error{
		Reason: transfer.PeerLost, Side: transfer.SideTarget, Phase: transfer.PhaseFinish, Node: t.Spec.Target, Err: context.Cause(ctx),
	}
}

// tell opens an edge to end it. The caller holds j.telling.
func (j *job) tell(ctx context.Context) error {
	t := j.current()
	link, err := j.e.cfg.Peers.OpenTarget(ctx, t.Spec.Target)
	if err != nil {
		return err
	}
	defer link.Close()
	if err := j.note(ctx, func(t *transfer.Transfer) { t.Epoch++ }); err != nil {
		return err
	}
	t = j.current()
	j.mu.Lock()
	end := transfer.EndCancel
	if j.purge {
		end = transfer.EndPurge
	}
	j.mu.Unlock()
	err = sender.Release(ctx, j.sendJob(&t), link, end)
	switch transfer.ReasonOf(err) {
	case transfer.ReasonNone:
	case transfer.NodeDraining, transfer.NodeBusy:
		// Such a target takes no edge but of transfers that it holds.
	case transfer.Cancelled, transfer.DestChanged:
		// It was abandoned there, or lapsed and others have the destination.
	default:
		return err
	}
	if !t.State.Terminal() {
		j.mu.Lock()
		j.holds = j.purge && end != transfer.EndPurge // it was asked for meanwhile
		j.mu.Unlock()
		return nil // it is stored with the end
	}
	return j.settled(ctx)
}

// settled notes of an ended transfer that nothing is left to tell.
func (j *job) settled(ctx context.Context) error {
	if err := j.note(ctx, func(*transfer.Transfer) { j.holds = false }); err != nil {
		return err
	}
	j.e.releases.drop(j)
	return nil
}

// purgeNow drops what the target keeps of a transfer that is over.
func (j *job) purgeNow(ctx context.Context) error {
	select {
	case j.telling <- struct{}{}:
	case <-ctx.Done():
		return j.untold(ctx)
	}
	defer func() { <-j.telling }()
	j.mu.Lock()
	old := j.purge
	j.purge = true
	j.mu.Unlock()
	err := j.tell(ctx)
	if err != nil {
		j.mu.Lock()
		j.purge = old
		j.mu.Unlock()
		return err
	}
	return j.note(ctx, func(t *transfer.Transfer) { t.Err = anew(t.Err) })
}

// anew is the error of a transfer whose partials were dropped: what its hint says of
// running the same command again is different then.
func anew(e *transfer.Error) *transfer.Error {
	if e == nil {
		return nil
	}
	purged := *e
	purged.Hint = strings.Replace(e.Hint, "goes on from here", "begins anew", 1)
	return &purged
}

// goesOn ends a hint: nothing that landed in a region is kept for another transfer.
func goesOn(t *transfer.Transfer, what string) string {
	if _, ok := t.Spec.IntoRegion(); ok {
		return what + " begins anew"
	}
	return what + " goes on from here"
}

// giveUp makes sure that nothing tells the target any more, of a transfer that
// is to be forgotten. It is false while something does.
func (j *job) giveUp() bool {
	select {
	case j.telling <- struct{}{}:
	default:
		return false
	}
	defer func() { <-j.telling }()
	j.mu.Lock()
	j.holds = false
	j.mu.Unlock()
	j.e.releases.drop(j)
	return true
}
