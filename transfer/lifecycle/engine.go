package lifecycle

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/scan"
	"github.com/xferd/xferd/transfer/sender"
)

// Edge is one attempt; see sender.Edge.
type Edge interface {
	Run(ctx context.Context) (sender.Summary, error)
	Stop(end transfer.End)
	SetMaxRate(bytesPerSecond int64)
}

// Peers reaches the targets of transfers.
type Peers interface {
	// Check tells at once whether a node can be a target: a NODE_UNKNOWN or
	// NODE_DRAINING Error, or nil.
	Check(node transfer.NodeID) error
	// OpenTarget opens a control stream. Its errors are *transfer.Error.
	OpenTarget(ctx context.Context, node transfer.NodeID) (transfer.TargetLink, error)
	// Joined returns a channel that is closed when the next node appears: a
	// reason to try again before the back-off is over.
	Joined() <-chan struct{}
}

// Config is what an Engine needs. All fields but the times are required.
type Config struct {
	Node    transfer.NodeID
	Store   *store.Store
	Peers   Peers
	Exports func() *fsroot.Exports
	Regions scan.Regions // of this node; nil: it has none
	NewEdge func(job sender.Job, link transfer.TargetLink, obs sender.Observer) Edge
	// Validate asks the target of a job without making an edge; see
	// sender.Validate.
	Validate func(ctx context.Context, job sender.Job, link transfer.TargetLink) (transfer.Plan, error)
	// Draining tells whether this node takes new transfers.
	Draining func() bool
	Log      *slog.Logger

	Limits    Limits        // to begin with; see Engine.SetLimits
	OrphanTTL time.Duration // a target lets go by itself after that; 0: 10 minutes
}

// Engine owns the transfers whose source is this node. Its methods may be
// called from any goroutine, before and while Run runs.
type Engine struct {
	cfg   Config
	table *store.Table[record]

	releases *releases
	limits   atomic.Pointer[Limits]

	wake chan struct{} // to the admission loop, of capacity 1
	wg   sync.WaitGroup

	mu       sync.Mutex // guards what follows; taken after a job's own lock
	roster   roster
	order    uint64
	revision uint64
	changed  chan struct{} // closed and replaced at every new revision
	stopping bool
	ctx      context.Context // of Run, for work that an operation starts
}

// New loads the transfers of the store. Those that ran when the node stopped
// are queued again.
func New(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.OrphanTTL == 0 {
		cfg.OrphanTTL = 10 * time.Minute
	}
	e := &Engine{
		cfg:     cfg,
		table:   store.NewTable[record](cfg.Store, "transfers"),
		wake:    make(chan struct{}, 1),
		roster:  newRoster(),
		changed: make(chan struct{}),
		// A watcher's token of an earlier life is always lower than every
		// revision of this one, so that it is told everything again.
		revision: cfg.Store.Incarnation() << 40,
	}
	e.limits.Store(new(cfg.Limits.complete()))
	e.releases = newReleases(cfg.Peers, cfg.OrphanTTL, cfg.Log)
	return e, e.load(ctx)
}

func (e *Engine) load(ctx context.Context) error {
	var all []record
	err := e.table.All(func(_ string, r record) error {
		all = append(all, r)
		return nil
	})
	if err != nil {
		return fmt.Errorf("load transfers: %w", err)
	}
	slices.SortFunc(all, func(a, b record) int { return int(a.Order) - int(b.Order) })
	for _, r := range all {
		j := e.newJob(r)
		e.order = max(e.order, r.Order)
		e.revision++
		j.t.Revision = e.revision
		j.publishLocked()
		close(j.stored)
		e.roster.add(j)
		e.roster.touch(j)
		if j.t.State.Terminal() && j.holds {
			e.releases.owe(j)
		}
		if s := j.t.State; s == transfer.StateRunning || s == transfer.StatePausing {
			if _, err := j.step(ctx, evRequeue, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// admitAgain is how long the queue rests when the state could not be written.
const admitAgain = time.Second

// Run admits and runs transfers until ctx ends. Then it stops what runs at the
// next chunk boundary, keeping it for the next start, and returns after all of
// it ended.
func (e *Engine) Run(ctx context.Context) error {
	defer e.wg.Wait()
	e.mu.Lock()
	e.ctx = ctx
	e.mu.Unlock()
	releasing, stopReleasing := context.WithCancel(ctx)
	defer stopReleasing()
	e.wg.Go(func() { e.releases.run(releasing) })
	e.resumeCancelling(ctx)
	sweep := time.NewTicker(time.Hour)
	defer sweep.Stop()
	deadlines := time.NewTicker(time.Second)
	defer deadlines.Stop()
	e.poke()
	for {
		select {
		case <-ctx.Done():
			e.mu.Lock()
			e.stopping = true
			e.mu.Unlock()
			return nil
		case <-e.cfg.Store.Failed():
			return fmt.Errorf("state of the node: %w", e.cfg.Store.Err())
		case <-e.wake:
			e.admit(ctx)
		case <-deadlines.C:
			e.expire(ctx)
		case <-sweep.C:
			e.forget(ctx)
		}
	}
}

// poke makes the admission loop look again.
func (e *Engine) poke() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// resumeCancelling takes up the cancels that a stop of the node interrupted.
func (e *Engine) resumeCancelling(ctx context.Context) {
	for _, j := range e.liveJobs() {
		if j.current().State == transfer.StateCancelling {
			e.start(ctx, j)
		}
	}
}

// admit starts queued transfers while there are places.
func (e *Engine) admit(ctx context.Context) {
	for {
		j := e.choose()
		if j == nil {
			return
		}
		if j.place.Load() != placed {
			j.seated()
			continue
		}
		if _, err := j.step(ctx, evAdmit, func(t *transfer.Transfer) {
			if t.Started.IsZero() {
				t.Started = time.Now()
			}
			t.WaitingReason, t.WaitingDetail = "", ""
		}); err != nil {
			// It was paused or cancelled this moment, or the store failed.
			if r := transfer.ReasonOf(err); r == transfer.BadState || r == transfer.AlreadyFinished {
				continue
			}
			e.cfg.Log.Error("admit a transfer", "transfer", j.id, "err", err)
			time.AfterFunc(admitAgain, e.poke)
			return
		}
		e.start(ctx, j)
	}
}

// expire ends transfers that wait or pause beyond their deadline. Those that run
// have a watchdog.
func (e *Engine) expire(ctx context.Context) {
	for _, j := range e.liveJobs() {
		t := j.current()
		if t.State != transfer.StateQueued && t.State != transfer.StatePaused || t.Spec.Deadline.IsZero() {
			continue
		}
		err := (&watchdog{}).expired(&t)
		if err == nil {
			continue
		}
		// Where it runs by now its watchdog has the same to say.
		if _, stepErr := j.step(ctx, evExpire, func(t *transfer.Transfer) { t.Err = err }); stepErr != nil {
			e.cfg.Log.Debug("end a transfer at its deadline", "transfer", j.id, "err", stepErr)
		}
	}
}

func (e *Engine) choose() *job {
	var queue []waiting
	var jobs []*job
	running, places := map[string]int{}, e.limits.Load().MaxRunning
	for _, j := range e.liveJobs() {
		t := j.current()
		switch t.State {
		case transfer.StateQueued:
			queue = append(queue, waiting{j.id, t.Spec.Priority, t.Spec.Principal, t.Created, j.order})
			jobs = append(jobs, j)
		case transfer.StateRunning, transfer.StatePausing, transfer.StateCancelling:
			switch j.place.Load() {
			case away:
				continue
			case seeking:
				queue = append(queue, waiting{j.id, t.Spec.Priority, t.Spec.Principal, t.Created, j.order})
				jobs = append(jobs, j)
				continue
			}
			running[t.Spec.Principal]++
			places--
		}
	}
	if places <= 0 {
		return nil
	}
	if i := pick(queue, running); i >= 0 {
		return jobs[i]
	}
	return nil
}

// start runs j in a goroutine that Run waits for, unless it has one already.
func (e *Engine) start(ctx context.Context, j *job) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if j.running || e.stopping {
		return
	}
	j.running = true
	e.wg.Go(func() {
		for again := true; again; {
			j.run(ctx)
			// What was asked between the end of run and now found running set,
			// and started nothing.
			j.mu.Lock()
			again = ctx.Err() == nil && (j.t.State == transfer.StateRunning || j.t.State == transfer.StateCancelling)
			j.running = again
			j.mu.Unlock()
		}
		e.poke()
	})
}

func (e *Engine) job(id string) (*job, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if j, ok := e.roster.byID[id]; ok && j.snap.Load() != nil {
		return j, nil
	}
	return nil, &transfer.Error{
		Reason: transfer.TransferNotFound, Side: transfer.SideOwner, Node: e.cfg.Node,
		Err:  fmt.Errorf("no transfer %q", id),
		Hint: "list the ones there are: xferctl transfers ls",
	}
}

// forget removes transfers that ended longer ago than the retention.
func (e *Engine) forget(ctx context.Context) {
	for _, j := range e.past(e.limits.Load().Retention) {
		if !j.giveUp() {
			continue // its target is being told this moment
		}
		if err := e.cfg.Store.Update(ctx, func(tx *store.Tx) error { return e.table.Delete(tx, j.id) }); err != nil {
			e.cfg.Log.Error("forget transfer", "transfer", j.id, "err", err)
			return
		}
		if err := e.cfg.Store.RemoveLogs(store.Owner, j.current().UID.String()); err != nil {
			e.cfg.Log.Warn("remove logs of a forgotten transfer", "transfer", j.id, "err", err)
		}
		e.mu.Lock()
		e.roster.remove(j)
		e.mu.Unlock()
	}
}

// Load counts the transfers that wait and that run.
func (e *Engine) Load() (queued, running int) {
	for _, j := range e.liveJobs() {
		switch t := j.current(); {
		case t.State == transfer.StateQueued:
			queued++
		case !t.State.Terminal() && t.State != transfer.StatePaused:
			running++
		}
	}
	return queued, running
}
