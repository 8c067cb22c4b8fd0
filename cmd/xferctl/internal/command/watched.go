package command

import (
	"hash/maphash"
	"time"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// watched decides what is shown of the news of a watch: what is not over at the
// beginning, and then what changes, but nothing twice in a row. It remembers a
// few dozen bytes of every transfer that it was told of.
type watched struct {
	all   bool // show what was over before as well
	start time.Time
	seed  maphash.Seed

	caughtUp bool
	returned map[string]bool // owners that tell everything anew
	last     map[string]uint64
}

func newWatched(all bool) *watched {
	return &watched{all: all, start: time.Now(), seed: maphash.MakeSeed(), returned: map[string]bool{}, last: map[string]uint64{}}
}

// note takes what is no news of a transfer.
func (w *watched) note(e client.Event) {
	switch {
	case e.CaughtUp:
		w.caughtUp = true
	case e.Returned.GetFromBeginning():
		w.returned[e.Returned.GetNode()] = true
	}
}

// shows reports whether a transfer is shown that would be shown as text.
func (w *watched) shows(t *xferv1.Transfer, text string) bool {
	now := maphash.String(w.seed, text)
	before, known := w.last[t.GetName()]
	w.last[t.GetName()] = now
	switch {
	case known:
		return now != before
	case w.all || !terminal(t.GetState()):
		return true
	case !w.caughtUp:
		return false
	}
	// One that was not heard of before and is over: it was quick, or it is
	// history of an owner that was away when the watch began.
	owner, _, _ := splitName(t.GetName())
	return !w.returned[owner] || t.GetEndTime().AsTime().After(w.start)
}
