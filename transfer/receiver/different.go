package receiver

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/xferd/xferd/transfer"
)

// found counts what a verification found, as entries of the source that are not,
// or not the same, at the destination. Guarded by the edge's mutex.
type found struct{ missing, differ int64 }

// note takes an entry that a run would make or change.
func (f *found) note(res *transfer.Result) {
	switch {
	case res.Kind == transfer.KindEndDir:
	case res.Change&transfer.ChangeNew != 0:
		f.missing++
	default:
		f.differ++
	}
}

// finishVerify looks for what only the destination has, and says whether it is the
// same as the source. Where the scan had errors nobody knows what the source does
// not have; those entries failed, so nothing is taken for equal by that.
func (e *edge) finishVerify(ctx context.Context) *transfer.Finished {
	fin := &transfer.Finished{}
	if e.opt.Delete && e.scanned.Failed == 0 {
		d := deletion{edge: e, ctx: ctx, limit: 1<<63 - 1, show: true}
		err := d.walk()
		fin.Deleted = d.count
		if err = errors.Join(append(d.errs, err)...); err != nil {
			fin.Err = e.r.destError(err, transfer.PhaseCompare, e.dest.path)
			return fin
		}
	}
	e.mu.Lock()
	f := e.found
	e.mu.Unlock()
	var what []string
	for _, n := range []struct {
		n    int64
		text string
	}{{f.differ, "not the same"}, {f.missing, "not at the destination"}, {fin.Deleted, "only at the destination"}} {
		if n.n > 0 {
			what = append(what, fmt.Sprintf("%s %s", entries(n.n), n.text))
		}
	}
	if len(what) > 0 {
		fin.Err = &transfer.Error{Reason: transfer.Different, Side: transfer.SideTarget, Phase: transfer.PhaseCompare, Node: e.r.cfg.Node, Path: e.dest.path,
			Err: errors.New(strings.Join(what, ", "))}
	}
	return fin
}
