package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/xferd/xferd/api/server"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/lifecycle"
	"github.com/xferd/xferd/transfer/receiver"
)

// engine is the node's part in transfers as the API sees it: those that it
// owns, and those that end here.
type engine struct {
	*lifecycle.Engine
	in   *target
	self transfer.NodeID
}

var _ server.Engine = (*engine)(nil)

func (e *engine) List(ctx context.Context, q transfer.Query, after transfer.Position, limit int) ([]transfer.Transfer, transfer.Mark, error) {
	if !q.Incoming {
		return e.Engine.List(ctx, q, after, limit)
	}
	_, mark, err := e.Engine.List(ctx, transfer.Query{}, transfer.Position{}, 0)
	if err != nil {
		return nil, mark, err
	}
	var out []transfer.Transfer
	for _, in := range e.in.incoming() {
		if t := e.incoming(&in); q.Match(&t) && after.Less(transfer.PositionOf(&t)) {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b transfer.Transfer) int {
		if transfer.PositionOf(&a).Less(transfer.PositionOf(&b)) {
			return -1
		}
		return 1
	})
	return out[:min(limit, len(out))], mark, nil
}

func (e *engine) OpenPosts(ctx context.Context, id string) (server.PostStream, error) {
	p, err := e.Engine.OpenPosts(ctx, id)
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (e *engine) Incoming(_ context.Context, ref server.IncomingRef) (transfer.Transfer, error) {
	for _, in := range e.in.incoming() {
		if in.UID == ref.UID || ref.UID == (transfer.UID{}) && in.Owner == ref.Owner && in.ID == ref.ID {
			return e.incoming(&in), nil
		}
	}
	return transfer.Transfer{}, &transfer.Error{
		Reason: transfer.TransferNotFound, Side: transfer.SideTarget, Node: e.self, Err: errors.New("no such transfer ends at this node"),
		Hint: "xferctl transfers ls --incoming --node " + string(e.self) + " shows those that do",
	}
}

func (e *engine) Abandon(ctx context.Context, uid transfer.UID) error {
	for _, in := range e.in.incoming() {
		if in.UID == uid && in.Running {
			return &transfer.Error{
				Reason: transfer.BadState, Side: transfer.SideTarget,
				Err:  fmt.Errorf("its owner %s is there and sends", in.Owner),
				Hint: "cancel the transfer instead",
			}
		}
	}
	return e.in.files.Abandon(ctx, uid)
}

// incoming is what this node knows of a transfer that it is the target of.
func (e *engine) incoming(in *receiver.IncomingTransfer) transfer.Transfer {
	t := transfer.Transfer{
		Owner: in.Owner, ID: in.ID, UID: in.UID, Epoch: in.Epoch, Created: in.Since, Updated: in.Since,
		State: transfer.StateRunning, Resolved: in.Dest,
		Spec: transfer.Spec{Source: in.Owner, Target: e.self, Dest: in.Dest, Principal: in.Principal},
	}
	switch {
	case in.Paused:
		t.State = transfer.StatePaused
	case !in.Running:
		t.WaitingReason = transfer.OwnerUnreachable
		t.WaitingDetail = fmt.Sprintf("nothing was heard from its owner %s since %s", in.Owner, in.OwnerLost.Format("15:04:05"))
	}
	return t
}
