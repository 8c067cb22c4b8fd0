package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/internal/store"
)

func transferName(id string) string { return "nodes/n1/transfers/" + id }

func over(t *xferv1.Transfer) bool { return t.GetState() >= xferv1.State_STATE_SUCCEEDED }

func (x *run) spec() *xferv1.TransferSpec {
	chunk := int64(1 << 20)
	spec := &xferv1.TransferSpec{
		Mode: xferv1.Mode_MODE_COPY, SourceNode: "n1", TargetNode: x.to.name, ChunkSize: &chunk,
		Sources:     []*xferv1.Source{{Source: &xferv1.Source_Path{Path: &xferv1.PathSource{Path: []byte(x.src), Contents: true}}}},
		Destination: &xferv1.Destination{Destination: &xferv1.Destination_Path{Path: []byte(x.dst)}},
	}
	if x.s.adapt != nil {
		x.s.adapt(spec)
	}
	return spec
}

// judge looks at what is there when the transfer is over.
func (x *run) judge(ctx context.Context, t *xferv1.Transfer) error {
	switch s := t.GetState(); {
	case s == xferv1.State_STATE_SUCCEEDED:
		if err := x.s.after.equal(x.dst); err != nil {
			return fmt.Errorf("SUCCEEDED: %w", err)
		}
	case s == xferv1.State_STATE_CANCELLED && x.plan.late():
		return errors.New("CANCELLED, and the target had done everything before the cancel came")
	case s == xferv1.State_STATE_CANCELLED && x.held && !x.plan.pause:
		if err := x.judgeCancelled(ctx); err != nil {
			return fmt.Errorf("CANCELLED: %w", err)
		}
	default:
		return fmt.Errorf("it ended %v: %v %v", s, t.GetError(), t.GetFailures())
	}
	if err := x.awaitFree(ctx); err != nil {
		return err
	}
	if t.GetState() == xferv1.State_STATE_SUCCEEDED || x.purges() {
		if err := x.noTemps(); err != nil {
			return err
		}
	}
	return x.judgeAgain(ctx, t)
}

// purges says whether what a cancel keeps is dropped, or the same command again goes
// on from it: either in half of the plans.
func (x *run) purges() bool { return len(x.plan.String())%2 == 0 }

// judgeCancelled: whole files or none, no empty directories of its own making, and
// nothing else where what is kept for a later run was dropped.
func (x *run) judgeCancelled(ctx context.Context) error {
	if err := whole(x.dst, x.s.before, x.s.after); err != nil {
		return err
	}
	for x.purges() { // the target may have to be told first
		_, err := x.nodes[owner].client().CancelTransfer(ctx, &xferv1.CancelTransferRequest{Name: transferName("one"), Purge: true})
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("purge: %w", err)
		}
		time.Sleep(2 * time.Millisecond)
	}
	if err := x.awaitFree(ctx); err != nil {
		return err
	}
	if x.s.after.equal(x.dst) == nil {
		return nil // the cancel came when all was done: what is empty is so at the source
	}
	top := filepath.Join(x.to.data(), "d")
	var empty []string
	err := walk(top, func(name string) error {
		list, err := os.ReadDir(filepath.Join(top, name))
		if err == nil && len(list) == 0 {
			if rel, err := filepath.Rel(x.dst, filepath.Join(top, name)); err == nil {
				if _, there := x.s.before[rel]; there {
					return nil
				}
			}
			empty = append(empty, name)
		}
		return nil
	})
	if err != nil || len(empty) > 0 {
		return errors.Join(err, fmt.Errorf("P6: empty directories %q", empty))
	}
	return nil
}

// awaitFree waits until the target holds nothing: the owner may have to tell it.
func (x *run) awaitFree(ctx context.Context) error {
	for {
		resp, err := x.to.client().ListTransfers(ctx, &xferv1.ListTransfersRequest{Parent: "nodes/" + x.to.name, Incoming: true})
		if err == nil && len(resp.GetTransfers()) == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the target still holds %v: %w", resp.GetTransfers(), err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (x *run) noTemps() error {
	left, err := temps(filepath.Join(x.to.data(), "d"))
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("temporary files are left: %q", left)
	}
	return err
}

// submit submits the same until it is answered.
func (x *run) submit(ctx context.Context, id string) (resp *xferv1.SubmitTransferResponse, err error) {
	for {
		resp, err = x.nodes[owner].client().SubmitTransfer(ctx, &xferv1.SubmitTransferRequest{TransferId: id, Spec: x.spec()})
		if err == nil || ctx.Err() != nil {
			return resp, err
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// judgeAgain submits the same once more, which changes nothing, and runs the same
// command under another id: after a success it moves nothing, and
// after a cancel it does the work.
func (x *run) judgeAgain(ctx context.Context, first *xferv1.Transfer) error {
	known, err := x.submit(ctx, "one")
	if err != nil || !known.GetAlreadyExisted() || known.GetTransfer().GetUid() != first.GetUid() {
		return fmt.Errorf("P4: the same id again is %v, want %v: %w", known.GetTransfer(), first, err)
	}
	t, err := x.drive(ctx, "again")
	if err != nil {
		return err
	}
	if t.GetState() != xferv1.State_STATE_SUCCEEDED {
		return fmt.Errorf("the same command again ended %v: %v %v", t.GetState(), t.GetError(), t.GetFailures())
	}
	if err := x.s.after.equal(x.dst); err != nil {
		return fmt.Errorf("the same command again: %w", err)
	}
	if first.GetState() != xferv1.State_STATE_SUCCEEDED {
		return nil
	}
	c, moved := t.GetCounters(), int64(0)
	for _, n := range c.GetBytesMoved() {
		moved += n
	}
	if moved != 0 || c.GetFilesCopied() != 0 || c.GetDirsMade() != 0 || c.GetLinksMade() != 0 || c.GetDeleted() != 0 {
		return fmt.Errorf("the same command again moved %d bytes, %v", moved, c)
	}
	return nil
}

// awaitNoJournals waits until the target's logs of transfers are gone, which go
// right after the locks.
func (x *run) awaitNoJournals() error {
	for begin := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		logs, err := filepath.Glob(filepath.Join(x.to.state(), "transfers", "*", "target", "*"))
		if err != nil || len(logs) == 0 {
			return err
		}
		if time.Since(begin) > patience/3 {
			return fmt.Errorf("journals are left: %s", strings.Join(logs, " "))
		}
	}
}

// judgeState ends both nodes by SIGKILL, and looks at what they leave.
func (x *run) judgeState() error {
	if err := x.awaitNoJournals(); err != nil {
		return err
	}
	for _, n := range x.nodes {
		if err := n.health(); err != nil {
			return err
		}
		n.kill()
		r, err := store.Check(context.Background(), n.state())
		if err != nil {
			return fmt.Errorf("check the state of %s: %w", n.name, err)
		}
		if len(r.Problems) > 0 {
			return fmt.Errorf("the state of %s: %w", n.name, errors.Join(r.Problems...))
		}
		if n == x.to && (r.Tables["target-locks"] > 0 || r.Tables["target-partials"] > 0) {
			return fmt.Errorf("the state of the target keeps %v", r.Tables)
		}
	}
	return x.noTemps()
}
