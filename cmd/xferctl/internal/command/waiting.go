package command

import (
	"strings"
	"time"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

// waitsFor says what a transfer that does not move waits for, and why: "waiting
// for n2" and "connection refused (PEER_UNREACHABLE)". The detail comes with
// place, reason and hint as in a message of its own; here they would only be in
// the way.
func waitsFor(t *xferv1.Transfer) (what, why string) {
	reason, target := t.GetWaitingReason(), t.GetSpec().GetTargetNode()
	why, _, _ = strings.Cut(t.GetWaitingDetail(), "("+reason+")")
	why = strings.TrimSpace(why)
	what = "waiting"
	if at, rest, ok := strings.Cut(why, ": "); ok && target != "" {
		words := strings.Fields(at) // «side phase node»
		if len(words) == 3 && words[2] == target {
			what, why = "waiting for "+target, strings.TrimPrefix(rest, "node "+target+" at ")
		}
	}
	why = strings.TrimSpace(why + " (" + reason + ")")
	if reason == xferv1.Reason_REASON_STATE_NO_SPACE.Name() {
		why += "; free space on the file system of its state_dir"
	}
	return what, why
}

// newsOfWaiting says once that a transfer waits, and for what, and once that it
// goes on, where no progress on a terminal shows it.
func (f *follower) newsOfWaiting(t *xferv1.Transfer) {
	reason := t.GetWaitingReason()
	if reason == f.waits || terminal(t.GetState()) {
		return
	}
	before := f.waits
	f.waits = reason
	now := time.Now()
	if before == "" {
		f.waitsSince = now
	}
	if reason == "" && (t.GetState() == xferv1.State_STATE_PAUSED || t.GetState() == xferv1.State_STATE_PAUSING) {
		return // it does not go on
	}
	tell := !f.quiet && !f.a.flags.quiet && !(f.progress && f.a.env.Terminal(f.a.env.Stderr))
	switch {
	case f.events() && reason != "":
		f.a.event("waiting", record.Field{Name: "waiting_reason", Value: reason}, record.Field{Name: "waiting_detail", Value: t.GetWaitingDetail()})
	case f.events():
		f.a.event("going_on")
	case !tell:
	case reason != "":
		what, why := waitsFor(t)
		f.a.complain(what + ": " + why)
	default:
		f.a.complain("it goes on after " + show.Elapsed(now.Sub(f.waitsSince)))
	}
}
