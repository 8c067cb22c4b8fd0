package lifecycle

import (
	"context"
	"fmt"
	"slices"

	"github.com/xferd/xferd/transfer"
)

// List returns a page of transfers; see server.Engine.
func (e *Engine) List(_ context.Context, q transfer.Query, after transfer.Position, limit int) ([]transfer.Transfer, transfer.Mark, error) {
	all, mark := e.visible()
	out := all[:0]
	for _, t := range all {
		if after.Less(transfer.PositionOf(&t)) && q.Match(&t) {
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

// Changes waits for transfers that changed after a mark; see server.Engine.
// Since the latest snapshot of a transfer carries the revision of its latest
// change, nothing has to be remembered for a watcher.
func (e *Engine) Changes(ctx context.Context, q transfer.Query, since transfer.Mark) ([]transfer.Transfer, transfer.Mark, error) {
	for {
		e.mu.Lock()
		changed, mark := e.changed, e.markLocked()
		out := e.roster.since(since.Revision, q.Match)
		e.mu.Unlock()
		if since.State != mark.State || since.Revision > mark.Revision {
			return nil, mark, &transfer.Error{
				Reason: transfer.Compacted, Side: transfer.SideOwner, Node: e.cfg.Node,
				Err:  fmt.Errorf("revision %d of state %q is not of this node's history", since.Revision, since.State),
				Hint: "list again and watch from there",
			}
		}
		if len(out) > 0 {
			return out, mark, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, mark, nil
		}
	}
}

// All returns every transfer, in no special order.
func (e *Engine) All() []transfer.Transfer {
	all, _ := e.visible()
	return all
}

// changes returns a channel that is closed at the next revision.
func (e *Engine) changes() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.changed
}

// visible returns all transfers that are stored, and the mark of that moment.
func (e *Engine) visible() ([]transfer.Transfer, transfer.Mark) {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]transfer.Transfer, 0, len(e.roster.byID))
	for _, j := range e.roster.byID {
		if t := j.snap.Load(); t != nil {
			all = append(all, *t)
		}
	}
	return all, e.markLocked()
}

func (e *Engine) markLocked() transfer.Mark {
	return transfer.Mark{State: e.cfg.Store.StateUUID(), Revision: e.revision}
}
