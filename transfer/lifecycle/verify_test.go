package lifecycle

import (
	"errors"
	"testing"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/sender"
	"github.com/xferd/xferd/transport"
)

// A verification never succeeds in part: it found that all is the same, or not.
func TestVerificationFindsOrFails(t *testing.T) {
	different := &transfer.Error{Reason: transfer.Different, Err: errors.New("1 entry not the same")}
	failed := transfer.Result{Path: "f", Kind: transfer.KindFile, Outcome: transfer.OutcomeFailed, Err: &transfer.Error{Reason: transfer.DestPermission}}
	for id, c := range map[string]struct {
		results []transfer.Result
		summary sender.Summary
		state   transfer.State
		reason  transfer.Reason
	}{
		"same":      {[]transfer.Result{{Path: "g", Kind: transfer.KindFile, Outcome: transfer.OutcomeSame}}, sender.Summary{}, transfer.StateSucceeded, ""},
		"different": {[]transfer.Result{{Path: "g", Kind: transfer.KindFile, Outcome: transfer.OutcomeSame}}, sender.Summary{TargetErr: different}, transfer.StateFailed, transfer.Different},
		"both": {[]transfer.Result{{Path: "g", Kind: transfer.KindFile, Outcome: transfer.OutcomeSame}, failed},
			sender.Summary{Failed: 1, FirstFailure: failed.Err, TargetErr: different}, transfer.StateFailed, transfer.Different},
		"failed": {[]transfer.Result{{Path: "g", Kind: transfer.KindFile, Outcome: transfer.OutcomeSame}, failed},
			sender.Summary{Failed: 1, FirstFailure: failed.Err}, transfer.StateFailed, transfer.DestPermission},
	} {
		inBubble(t, func(t *testing.T, dir string) {
			r := newRig(t, dir)
			defer r.stop()
			s := r.submission(id)
			s.Spec.Mode, s.Spec.DryRun = transfer.ModeVerify, true
			if _, _, err := r.e.Submit(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			edge := <-r.edges
			for _, res := range c.results {
				edge.obs.Result(res)
			}
			edge.end <- func() (sender.Summary, error) { return c.summary, nil }
			r.want(id, c.state)
			got, _ := r.e.Get(t.Context(), id)
			if (got.Err == nil) != (c.reason == "") || got.Err != nil && got.Err.Reason != c.reason {
				t.Errorf("%s: %v", id, got.Err)
			}
		})
	}
}

// The digests of the one file of a transfer are in its status. Of many, they are in
// those of the entries alone.
func TestDigestsOfTheOneFile(t *testing.T) {
	for files, want := range map[int64]string{1: "sum", 2: ""} {
		inBubble(t, func(t *testing.T, dir string) {
			r := newRig(t, dir)
			defer r.stop()
			r.submit("a")
			edge := <-r.edges
			edge.obs.Progress(sender.Progress{Files: files, ScanDone: true})
			edge.obs.Result(transfer.Result{Path: "f", Kind: transfer.KindFile, Outcome: transfer.OutcomePublished, Digest: transport.Digest{1}, Content: "sum"})
			edge.end <- good
			r.want("a", transfer.StateSucceeded)
			got, _ := r.e.Get(t.Context(), "a")
			if got.Content != want || got.Digest.IsZero() != (want == "") {
				t.Errorf("of %d files: %q, %x", files, got.Content, got.Digest)
			}
		})
	}
}
