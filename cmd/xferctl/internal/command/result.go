package command

import (
	"context"
	"slices"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
)

// reasonCode is the exit code of the table for a reason. One that this xferctl
// does not know is a failure like any.
func reasonCode(reason string) int {
	if c := int(xferv1.ReasonInfoByName(reason).GetExitCode()); c != exit.OK {
		return c
	}
	return exit.Failed
}

// resultCode is the exit code of a transfer that is over. failed has the codes
// of its failed entries, each at least once.
func resultCode(t *xferv1.Transfer, failed []int) int {
	reason := t.GetError().GetReason()
	summary := reason == "" || reason == xferv1.Reason_REASON_PARTIAL_FAILURE.Name()
	switch t.GetState() {
	case xferv1.State_STATE_SUCCEEDED:
		if t.GetCounters().GetEntriesLost() > 0 {
			return exit.Partial
		}
		return exit.OK
	case xferv1.State_STATE_CANCELLED:
		return exit.Cancelled
	case xferv1.State_STATE_PARTIALLY_SUCCEEDED:
		// The one failure that there is may be the reason of the whole.
		if code := reasonCode(reason); !summary && (code == exit.MaxDelete || !slices.Contains(failed, code)) {
			return wholeCode(code, failed)
		}
		return exit.Worst(append(slices.Clone(failed), exit.Partial)...)
	case xferv1.State_STATE_FAILED:
		if !summary {
			return wholeCode(reasonCode(reason), failed)
		}
		// Nothing was done: where all entries failed for one cause, that is it.
		if codes := slices.Compact(slices.Sorted(slices.Values(failed))); len(codes) == 1 {
			return codes[0]
		}
		if c := exit.Worst(failed...); c != exit.OK && c != exit.Partial {
			return c
		}
	}
	return exit.Failed
}

// wholeCode joins the reason why a transfer as a whole ended with those of its
// entries: some say more than the entries do (a deadline), others are one of
// several failures.
func wholeCode(code int, failed []int) int {
	switch code {
	case exit.Verify, exit.Space, exit.Permission, exit.Destination, exit.Source, exit.Partial:
		return exit.Worst(append(slices.Clone(failed), code)...)
	}
	return code
}

// failedCodes returns the exit codes of all failed entries. What was shown of
// them is enough where there are no more.
func failedCodes(ctx context.Context, api API, t *xferv1.Transfer) ([]int, error) {
	var codes []int
	add := func(entries []*xferv1.EntryResult) {
		for _, e := range entries {
			if c := reasonCode(e.GetError().GetReason()); !slices.Contains(codes, c) {
				codes = append(codes, c)
			}
		}
	}
	add(t.GetFailures())
	if t.GetCounters().GetEntriesFailed() <= int64(len(t.GetFailures())) {
		return codes, nil
	}
	err := eachEntry(ctx, api, &xferv1.ListEntriesRequest{Parent: t.GetName(), Outcomes: []xferv1.Outcome{xferv1.Outcome_OUTCOME_FAILED}}, func(e *xferv1.EntryResult) error {
		add([]*xferv1.EntryResult{e})
		return nil
	})
	return codes, err
}

// eachEntry calls each for every entry that the request selects.
func eachEntry(ctx context.Context, api API, req *xferv1.ListEntriesRequest, each func(*xferv1.EntryResult) error) error {
	req.PageSize = 1000
	for e, err := range api.Entries(ctx, req) {
		if err != nil {
			return err
		}
		if err := each(e); err != nil {
			return err
		}
	}
	return nil
}
