package lifecycle

import (
	"time"

	"github.com/xferd/xferd/transfer"
)

// waiting is a queued transfer as the choice sees it.
type waiting struct {
	id        string
	priority  transfer.Priority
	principal string
	since     time.Time
	order     uint64 // of submission; decides between equals
}

// pick returns the index of the transfer to admit next, or -1. A higher
// priority goes first; within one, the principal with the fewest running
// transfers, so that a thousand submissions of one user do not hold up the
// single one of another; then who came first.
func pick(queue []waiting, running map[string]int) int {
	best := -1
	for i, w := range queue {
		if best < 0 {
			best = i
			continue
		}
		b := queue[best]
		switch {
		case w.priority != b.priority:
			if w.priority > b.priority {
				best = i
			}
		case running[w.principal] != running[b.principal]:
			if running[w.principal] < running[b.principal] {
				best = i
			}
		case w.order < b.order:
			best = i
		}
	}
	return best
}
