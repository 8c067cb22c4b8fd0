package lifecycle

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/xferd/xferd/transfer"
)

// maxReleasing is how many targets are told at a time.
const maxReleasing = 8

// releases are the ended transfers whose target may still hold the destination
// for them, since it could not be told that they are over. They are told as soon
// as the target is there.
type releases struct {
	peers     Peers
	orphanTTL time.Duration
	log       *slog.Logger
	wake      chan struct{} // of capacity 1

	mu    sync.Mutex // guards what follows; innermost
	owing map[transfer.NodeID]map[*job]struct{}
	fresh map[transfer.NodeID]bool // something was added
}

func newReleases(peers Peers, orphanTTL time.Duration, log *slog.Logger) *releases {
	return &releases{
		peers: peers, orphanTTL: orphanTTL, log: log, wake: make(chan struct{}, 1),
		owing: map[transfer.NodeID]map[*job]struct{}{}, fresh: map[transfer.NodeID]bool{},
	}
}

// owe adds a transfer that ended. Its target does not change any more.
func (r *releases) owe(j *job) {
	node := j.t.Spec.Target
	r.mu.Lock()
	if r.owing[node] == nil {
		r.owing[node] = map[*job]struct{}{}
	}
	r.owing[node][j] = struct{}{}
	r.fresh[node] = true
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *releases) drop(j *job) {
	node := j.current().Spec.Target
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.owing[node], j)
	if len(r.owing[node]) == 0 {
		delete(r.owing, node)
	}
}

// of returns the transfers of one target, in the order of submission.
func (r *releases) of(node transfer.NodeID) []*job {
	r.mu.Lock()
	all := slices.Collect(maps.Keys(r.owing[node]))
	r.mu.Unlock()
	slices.SortFunc(all, func(a, b *job) int { return int(int64(a.order) - int64(b.order)) })
	return all
}

// targets returns those that are to be told something, and which of them got
// something new since the last call.
func (r *releases) targets() (all []transfer.NodeID, fresh map[transfer.NodeID]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fresh, r.fresh = r.fresh, map[transfer.NodeID]bool{}
	return slices.Collect(maps.Keys(r.owing)), fresh
}

// clear makes the target let go of a destination that an ended transfer may hold
// and that spec is about to ask for: who runs the same command again must not be
// told that the one before is in the way. An error that may pass is returned;
// for others the target has the word.
func (r *releases) clear(ctx context.Context, spec *transfer.Spec) error {
	for _, j := range r.of(spec.Target) {
		if t := j.current(); !inTheWay(&t, spec) {
			continue
		}
		short, cancel := context.WithTimeout(ctx, releaseTimeout)
		err := j.letGo(short)
		cancel()
		if err != nil && transfer.ReasonOf(err).Transient() {
			return err
		}
	}
	return nil
}

// turn is how telling one target ended.
type turn struct {
	node transfer.NodeID
	err  error
}

// target is what run knows of one target.
type target struct {
	busy     bool
	failures int
	until    time.Time // it is left alone
}

// run tells the targets until ctx ends, and returns after its children. It is
// called once.
func (r *releases) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	done := make(chan turn, maxReleasing)
	known, busy := map[transfer.NodeID]*target{}, 0
	joined := r.peers.Joined()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		all, fresh := r.targets()
		next := time.Duration(-1)
		for _, node := range all {
			t := known[node]
			if t == nil {
				t = &target{}
				known[node] = t
			}
			if fresh[node] {
				t.until = time.Time{}
			}
			left := time.Until(t.until)
			switch {
			case t.busy || busy == maxReleasing: // the end of one makes it look again
			case left > 0:
				if next < 0 || left < next {
					next = left
				}
			default:
				t.busy = true
				busy++
				wg.Go(func() { done <- turn{node, r.visit(ctx, node)} })
			}
		}
		timer.Stop()
		if next >= 0 {
			timer.Reset(next)
		}
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
		case <-joined:
			joined = r.peers.Joined()
			for _, t := range known {
				t.failures, t.until = 0, time.Time{}
			}
		case end := <-done:
			busy--
			r.after(ctx, known, end)
		}
	}
}

// after decides when the target is told again what it was not told.
func (r *releases) after(ctx context.Context, known map[transfer.NodeID]*target, end turn) {
	if end.err == nil || ctx.Err() != nil {
		delete(known, end.node)
		return
	}
	t := known[end.node]
	t.busy = false
	if t.failures++; t.failures == 1 {
		r.log.Info("a target does not know yet that transfers are over; it is told when it answers", "target", string(end.node), "err", end.err)
	}
	t.until = time.Now().Add(backoff(t.failures))
}

// visit tells one target of everything that is over. Its error is the last
// failure; a target that cannot be reached is not asked further.
func (r *releases) visit(ctx context.Context, node transfer.NodeID) (last error) {
	for _, j := range r.of(node) {
		most, cancel := context.WithTimeout(ctx, releaseMost)
		err := j.letGo(most)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			r.drop(j)
			r.log.Info("the target let go of the destination", "transfer", j.id, "target", string(node))
			continue
		}
		last = err
		if transfer.ReasonOf(err).Transient() {
			// What it holds while it is away does not lapse.
			j.refused = time.Time{}
			return last
		}
		if j.refused.IsZero() {
			j.refused = time.Now()
		}
		if time.Since(j.refused) < r.orphanTTL {
			continue
		}
		// It is there and had its time: the lock has lapsed by itself.
		r.log.Warn("the target could not be told that the transfer is over; its lock lapses by itself", "transfer", j.id, "target", string(node), "err", err)
		if err := j.settled(ctx); err != nil {
			r.log.Error("store the state of a transfer", "transfer", j.id, "err", err)
		}
	}
	return last
}
