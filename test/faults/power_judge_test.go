package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/internal/store"
)

// holds says whether what was told still is so of the transfer.
func (before told) holds(t *xferv1.Transfer) error {
	if before.submitted != nil && before.submitted.GetUid() != t.GetUid() {
		return fmt.Errorf("P3: what was accepted as %s is now %s", before.submitted.GetUid(), t.GetUid())
	}
	if before.over != nil && before.over.GetState() != t.GetState() {
		return fmt.Errorf("P3: %v was told, and now it is %v", before.over.GetState(), t)
	}
	return nil
}

// judgeCut looks at what there is after the cut, before anybody repairs it.
func (x *outage) judgeCut(ctx context.Context, before told) error {
	for i, n := range x.nodes {
		if !x.cut.Victims[i] {
			continue
		}
		if _, err := os.Lstat(filepath.Join(n.state(), "state.db")); os.IsNotExist(err) && (before.submitted == nil || i != owner) {
			continue // it was never up: an owner accepts while its target comes
		}
		r, err := store.Check(ctx, n.state())
		if err == nil {
			err = errors.Join(r.Problems...)
		}
		if err != nil {
			return fmt.Errorf("the state of %s after the cut: %w", n.name, err)
		}
	}
	if !x.durable() {
		return nil
	}
	if err := whole(x.dst, x.s.before, x.s.after); err != nil {
		return fmt.Errorf("after the cut: %w", err)
	}
	if before.over.GetState() == xferv1.State_STATE_SUCCEEDED {
		if err := x.s.after.equal(x.dst); err != nil {
			return fmt.Errorf("P2: SUCCEEDED was told before the cut: %w", err)
		}
	} else if before.over != nil {
		return fmt.Errorf("it ended %v before the cut: %v", before.over.GetState(), before.over.GetError())
	}
	return nil
}

// judgeNotDurable: what was not synced may be anything, but it is over, and the same
// command with a look at the content mends it.
func (x *outage) judgeNotDurable(ctx context.Context, t *xferv1.Transfer) error {
	if t.GetState() != xferv1.State_STATE_SUCCEEDED {
		return fmt.Errorf("it ended %v: %v %v", t.GetState(), t.GetError(), t.GetFailures())
	}
	if err := x.awaitFree(ctx); err != nil {
		return err
	}
	s := *x.s
	s.adapt = func(spec *xferv1.TransferSpec) {
		x.run.s.adapt(spec)
		spec.Compare = xferv1.Compare_COMPARE_CHECKSUM
	}
	again := *x.run
	again.s = &s
	t, err := again.drive(ctx, "mended")
	if err != nil {
		return err
	}
	if t.GetState() != xferv1.State_STATE_SUCCEEDED {
		return fmt.Errorf("mended, it ended %v: %v %v", t.GetState(), t.GetError(), t.GetFailures())
	}
	if err := x.s.after.equal(x.dst); err != nil {
		return fmt.Errorf("mended: %w", err)
	}
	return x.judgeState()
}
