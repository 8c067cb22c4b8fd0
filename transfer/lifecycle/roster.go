package lifecycle

import (
	"container/list"
	"slices"
	"time"

	"github.com/xferd/xferd/transfer"
)

// roster is the transfers of a node, by id, and in the orders in which they are
// looked for often: ended ones are remembered for weeks, and neither the choice
// of the next one nor a watcher may pay for them. Engine.mu guards it.
type roster struct {
	byID   map[string]*job
	live   map[*job]struct{} // those that are not over
	recent *list.List        // of *job, the latest change last; see job.listed
}

func newRoster() roster {
	return roster{byID: map[string]*job{}, live: map[*job]struct{}{}, recent: list.New()}
}

func (r *roster) add(j *job) {
	r.byID[j.id] = j
	if !j.t.State.Terminal() {
		r.live[j] = struct{}{}
	}
}

// touch notes that j has the highest revision.
func (r *roster) touch(j *job) {
	if j.listed == nil {
		j.listed = r.recent.PushBack(j)
	} else {
		r.recent.MoveToBack(j.listed)
	}
}

// over notes that j ended.
func (r *roster) over(j *job) { delete(r.live, j) }

func (r *roster) remove(j *job) {
	delete(r.byID, j.id)
	delete(r.live, j)
	if j.listed != nil {
		r.recent.Remove(j.listed)
		j.listed = nil
	}
}

// since returns the snapshots with a higher revision, the lowest first.
func (r *roster) since(revision uint64, match func(*transfer.Transfer) bool) []transfer.Transfer {
	var out []transfer.Transfer
	for el := r.recent.Back(); el != nil; el = el.Prev() {
		t := el.Value.(*job).snap.Load()
		if t.Revision <= revision {
			break
		}
		if match(t) {
			out = append(out, *t)
		}
	}
	slices.Reverse(out)
	return out
}

// snapshot returns all jobs that are stored, in no special order.
func (e *Engine) snapshot() []*job {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]*job, 0, len(e.roster.byID))
	for _, j := range e.roster.byID {
		if j.snap.Load() != nil {
			all = append(all, j)
		}
	}
	return all
}

// liveJobs returns those of them that are not over.
func (e *Engine) liveJobs() []*job {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]*job, 0, len(e.roster.live))
	for j := range e.roster.live {
		if j.snap.Load() != nil {
			all = append(all, j)
		}
	}
	return all
}

// past returns those that ended at least so long ago.
func (e *Engine) past(age time.Duration) []*job {
	var all []*job
	for _, j := range e.snapshot() {
		if t := j.snap.Load(); t.State.Terminal() && time.Since(t.Ended) >= age {
			all = append(all, j)
		}
	}
	return all
}
