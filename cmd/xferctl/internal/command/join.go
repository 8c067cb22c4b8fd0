package command

import (
	"context"
	"fmt"
	"regexp"

	"google.golang.org/protobuf/proto"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
)

// holderName finds the transfer that the message of DEST_BUSY names.
var holderName = regexp.MustCompile(`nodes/[^/\s]+/transfers/[A-Za-z0-9][A-Za-z0-9._:+~-]*`)

// join looks at a transfer that is over: where it ended only because the same
// copy runs already (its terminal was lost, and the command was typed again), that
// one is followed instead, and its end returned. Any other comes back as it is, also
// where what has the destination is over: its end is not that of this copy.
func (f *follower) join(ctx context.Context, t *xferv1.Transfer) (*xferv1.Transfer, error) {
	twin := f.twin(ctx, t)
	if twin == nil {
		return t, nil
	}
	if terminal(twin.GetState()) {
		// It has just ended, its owner could not tell the target yet, or the owner has
		// lost its state since, and the lock is of another transfer of that name.
		f.a.complain(fmt.Sprintf("%s is over by now (%s): run the command again; if it still holds the destination, free it with: xferctl transfers abandon --node %s %s",
			twin.GetName(), stateWord(twin.GetState()), t.GetSpec().GetTargetNode(), shortName(twin.GetName())))
		return t, nil
	}
	switch twin.GetState() {
	case xferv1.State_STATE_PAUSING, xferv1.State_STATE_PAUSED:
		f.a.complain(fmt.Sprintf("the same copy is paused; it goes on with: xferctl transfers resume %s", shortName(twin.GetName())))
		return t, nil
	case xferv1.State_STATE_CANCELLING:
		f.a.complain(fmt.Sprintf("the same copy is being cancelled as %s; run the command again when that is over", twin.GetName()))
		return t, nil
	}
	if f.events() {
		f.a.event("following", record.Field{Name: "name", Value: twin.GetName()}, record.Field{Name: "instead_of", Value: f.name})
	} else if !f.a.flags.quiet {
		f.a.complain("the same copy is running already as " + twin.GetName() + "; following it")
	}
	f.name, f.last, f.landed = twin.GetName(), nil, landed{}
	return f.follow(ctx)
}

// twin returns the transfer that holds the destination of t, if t failed for that
// and was asked by the same caller for the same. Priority, rate, deadline and
// labels do not count, as for a repeated id.
func (f *follower) twin(ctx context.Context, t *xferv1.Transfer) *xferv1.Transfer {
	if f.interrupted || t.GetState() != xferv1.State_STATE_FAILED || t.GetError().GetReason() != xferv1.Reason_REASON_DEST_BUSY.Name() {
		return nil
	}
	name := holderName.FindString(t.GetError().GetMessage())
	holder, _, _ := splitName(name)
	if owner, _, ok := splitName(f.name); !ok || holder != owner || name == f.name {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callGrace)
	defer cancel()
	twin, err := f.api.Get(ctx, name)
	if err != nil || twin.GetPrincipal() != t.GetPrincipal() || !proto.Equal(essence(twin.GetSpec()), essence(t.GetSpec())) {
		return nil
	}
	return twin
}

// essence is a specification without what does not make another one of it.
func essence(s *xferv1.TransferSpec) *xferv1.TransferSpec {
	s = proto.CloneOf(s)
	s.Priority, s.MaxBytesPerSecond, s.Deadline, s.Labels = 0, nil, nil, nil
	return s
}
