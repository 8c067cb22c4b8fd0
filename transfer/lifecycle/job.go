package lifecycle

import (
	"container/list"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/xferd/xferd/internal/failpoint"
	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/transfer"
)

// record is the durable form of a transfer.
type record struct {
	Order    uint64 // of submission
	SpecHash []byte // Submission.Same
	Purge    bool   `json:",omitempty"` // the cancel drops the partials
	Holds    bool   `json:",omitempty"` // see job.holds
	Finish   bool   `json:",omitempty"` // see job.finish
	Transfer transfer.Transfer
}

// job is one transfer of this node and, while it runs, its current attempt.
type job struct {
	e     *Engine
	id    string
	order uint64
	hash  []byte

	// stored is closed when the first store of a submission ended; snap is nil
	// for good if that failed.
	stored chan struct{}
	// snap is what everybody may read; a value that nothing changes any more.
	snap atomic.Pointer[transfer.Transfer]

	results sharedLog
	posts   *posts // of a prepared transfer; nil for others

	listed *list.Element // in roster.recent; guarded by Engine.mu
	place  atomic.Int32  // placed, away or seeking
	seat   chan struct{} // of capacity 1: it got a place

	telling chan struct{} // of capacity 1: held by who tells the target to let go
	refused time.Time     // since when the target is there and does not let go; of releases

	mu       sync.Mutex        // guards what follows, and is held over the store's write
	t        transfer.Transfer // its rate is the one that was asked for, until it ends
	edge     Edge              // of the running attempt
	edgeOver time.Time         // when the last one in this life ended; see releaseWait
	purge    bool              // asked for with the cancel
	running  bool              // has a goroutine; see Engine.start
	nudge    chan struct{}     // of capacity 1: something was asked, or a node joined
	// holds: the target may hold the destination for this transfer. It is stored
	// before an edge is opened, and falls when the target said that it let go.
	holds  bool
	waited transfer.Reason // that the log was told of, while it waits
	// committed: the attempt came to its end, of which the record is not stored yet.
	committed bool
	finish    bool // a prepared transfer is to end when what was posted is answered
}

func (e *Engine) newJob(r record) *job {
	j := &job{e: e, id: r.Transfer.ID, order: r.Order, hash: r.SpecHash, t: r.Transfer, purge: r.Purge, holds: r.Holds, nudge: make(chan struct{}, 1), stored: make(chan struct{}), telling: make(chan struct{}, 1), seat: make(chan struct{}, 1)}
	if r.Transfer.Spec.Prepared {
		j.finish, j.posts = r.Finish, newPosts(e.cfg.Node, &j.t, r.Finish)
	}
	if !j.t.State.Terminal() && j.t.Epoch > 0 {
		j.holds = true // the record may be of a version that did not note it
	}
	if j.t.Counters.BytesMoved == nil {
		j.t.Counters.BytesMoved = map[string]int64{}
	}
	return j
}

// current returns the latest snapshot.
func (j *job) current() transfer.Transfer { return *j.snap.Load() }

// publishLocked makes j.t the snapshot that everybody sees.
func (j *job) publishLocked() {
	t := j.t
	t.Counters = t.Counters.Clone()
	if !t.State.Terminal() {
		t.Spec.MaxRate = j.e.limits.Load().rate(t.Spec.MaxRate)
	}
	j.snap.Store(&t)
}

// announce gives j's transfer the next revision, publishes it and wakes
// watchers. The caller holds j.mu.
func (j *job) announce() {
	e := j.e
	e.mu.Lock()
	defer e.mu.Unlock()
	e.revision++
	e.roster.touch(j)
	if j.t.State.Terminal() {
		e.roster.over(j)
	}
	j.t.Revision = e.revision
	j.t.Updated = time.Now()
	j.publishLocked()
	close(e.changed)
	e.changed = make(chan struct{})
}

// step takes one transition: stored first, then shown. change, where not nil,
// edits the transfer along with it.
func (j *job) step(ctx context.Context, on event, change func(t *transfer.Transfer)) (transfer.State, error) {
	return j.stepTo(ctx, on, "", change)
}

func (j *job) stepTo(ctx context.Context, on event, result transfer.State, change func(t *transfer.Transfer)) (transfer.State, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	to, refused := next(j.t.State, on, result)
	if refused == nil && on == evCancel && j.committed && j.t.State != transfer.StateCancelling {
		refused = &transfer.Error{
			Reason: transfer.AlreadyCommitted, Side: transfer.SideOwner,
			Err: errors.New("everything is done at the target, and only the record of it is missing"),
		}
	}
	if refused != nil {
		refused.Node, refused.Path = j.e.cfg.Node, ""
		return j.t.State, refused
	}
	old := j.t
	j.t.State = to
	if change != nil {
		change(&j.t)
	}
	if to.Terminal() && j.t.Ended.IsZero() {
		j.t.Ended = time.Now()
		j.t.Spec.MaxRate = j.e.limits.Load().rate(j.t.Spec.MaxRate)
	}
	if to.Terminal() || to == transfer.StatePaused { // it waits for nothing, but for people
		j.t.WaitingReason, j.t.WaitingDetail, j.t.NextAttempt = "", "", time.Time{}
	}
	failpoint.Hit("lifecycle/step")
	if err := j.store(ctx); err != nil {
		j.t = old
		return old.State, err
	}
	failpoint.Hit("lifecycle/stepped")
	j.announce()
	j.logStep(old.State)
	if to.Terminal() && j.posts != nil {
		j.posts.close(&j.t)
	}
	if to.Terminal() && j.holds {
		j.e.releases.owe(j)
	}
	return to, nil
}

// logStep tells the log of the states that a person looks for there.
func (j *job) logStep(from transfer.State) {
	t := &j.t
	if from == t.State || !t.State.Terminal() && t.State != transfer.StatePaused {
		return
	}
	c := &t.Counters
	args := []any{
		"transfer", t.Name(), "uid", t.UID.String(), "target", string(t.Spec.Target), "dest", transfer.EscapePath(t.Spec.Dest),
		"state", string(t.State), "transport", t.Path.Transport, "transport_reason", string(t.Path.Reason), "verify", t.Path.Verify,
		"files_copied", c.FilesCopied, "files_same", c.FilesSame, "entries_failed", c.EntriesFailed, "bytes_done", c.BytesDone, "attempts", c.Attempts,
	}
	if t.Err != nil {
		args = append(args, "reason", string(t.Err.Reason), "err", t.Err.Error())
	}
	level := slog.LevelInfo
	if t.State == transfer.StateFailed || t.State == transfer.StatePartial {
		level = slog.LevelWarn
	}
	j.e.cfg.Log.Log(context.Background(), level, "transfer "+strings.ToLower(string(t.State)), args...)
}

// logWait tells the log that the transfer waits for its next attempt, once for
// each reason.
func (j *job) logWait(d time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	t := &j.t
	if t.State != transfer.StateRunning || t.WaitingReason == "" || t.WaitingReason == j.waited {
		return
	}
	j.waited = t.WaitingReason
	j.e.cfg.Log.Info("transfer waits", "transfer", t.Name(), "uid", t.UID.String(), "target", string(t.Spec.Target),
		"reason", string(t.WaitingReason), "err", t.WaitingDetail, "attempts", t.Counters.Attempts, "next_attempt", d.Round(time.Millisecond))
}

// logGoesOn tells the log that the wait is over, if it was told of one.
func (j *job) logGoesOn() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.waited == "" {
		return
	}
	t := &j.t
	j.e.cfg.Log.Info("transfer goes on", "transfer", t.Name(), "uid", t.UID.String(), "target", string(t.Spec.Target),
		"waited_for", string(j.waited), "attempts", t.Counters.Attempts)
	j.waited = ""
}

// store writes the record. A cancelled context does not stop it: the state of a
// transfer must not depend on who waits for it.
func (j *job) store(ctx context.Context) error {
	r := record{Order: j.order, SpecHash: j.hash, Transfer: j.t, Purge: j.purge, Holds: j.holds, Finish: j.finish}
	update := j.e.cfg.Store.Update
	switch s := j.t.State; {
	case s.Terminal(), s == transfer.StateCancelling, s == transfer.StatePausing, s == transfer.StatePaused:
		update = j.e.cfg.Store.UpdateReserved // it ends work, also on a full disk
	}
	err := update(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		return j.e.table.Put(tx, j.id, r)
	})
	if err != nil {
		return storeError(err, j.e.cfg.Node)
	}
	return nil
}

// edit changes a transfer without a transition, and shows it. It is stored with
// the next transition, or at once where durable is set.
func (j *job) edit(ctx context.Context, durable bool, change func(t *transfer.Transfer)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	old := j.t
	change(&j.t)
	if durable {
		if err := j.store(ctx); err != nil {
			j.t = old
			return err
		}
	}
	j.announce()
	return nil
}

// note stores a change of what is not shown to people: watchers are not told.
func (j *job) note(ctx context.Context, change func(t *transfer.Transfer)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	old, held := j.t, j.holds
	change(&j.t)
	failpoint.Hit("lifecycle/note")
	if err := j.store(ctx); err != nil {
		j.t, j.holds = old, held
		return err
	}
	j.publishLocked()
	return nil
}

// setEdge makes the running attempt known to those who want to stop it. What
// was asked for before that reaches it now.
func (j *job) setEdge(edge Edge) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.edge = edge
	if j.posts != nil {
		p, _ := edge.(poster)
		j.posts.attach(p)
	}
	if edge != nil {
		j.stopLocked()
	}
}

// stopLocked passes the wish of the current state on to the attempt.
func (j *job) stopLocked() {
	if j.edge != nil {
		if end := j.endLocked(); end != 0 {
			j.edge.Stop(end)
		}
	}
	select {
	case j.nudge <- struct{}{}:
	default:
	}
}

func (j *job) endLocked() transfer.End {
	switch j.t.State {
	case transfer.StatePausing:
		return transfer.EndPause
	case transfer.StateCancelling:
		if j.purge {
			return transfer.EndPurge
		}
		return transfer.EndCancel
	}
	return 0
}
