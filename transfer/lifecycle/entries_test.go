package lifecycle

import (
	"testing"

	"github.com/xferd/xferd/transfer"
)

// Every entry is listed once: the end of a directory's listing is none.
func TestEntriesListDirectoriesOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		defer r.stop()
		r.submit("a")
		edge := <-r.edges
		edge.obs.Result(transfer.Result{Entry: 0, Path: "d", Kind: transfer.KindDir, Outcome: transfer.OutcomePublished, Change: transfer.ChangeNew})
		edge.obs.Result(transfer.Result{Entry: 1, Path: "d/f", Kind: transfer.KindFile, Outcome: transfer.OutcomePublished})
		edge.obs.Result(transfer.Result{Entry: 2, Path: "d", Kind: transfer.KindEndDir, Outcome: transfer.OutcomeSame})
		edge.obs.Result(transfer.Result{Entry: 3, Path: "e", Kind: transfer.KindEndDir, Outcome: transfer.OutcomeFailed,
			Err: &transfer.Error{Reason: transfer.SourceIOError}})
		edge.end <- good
		r.want("a", transfer.StatePartial)
		res, _, err := r.e.Entries(t.Context(), "a", transfer.EntryQuery{}, 0, 10)
		var paths []string
		for _, e := range res {
			paths = append(paths, e.Path)
		}
		if err != nil || len(paths) != 3 || paths[0] != "d" || paths[1] != "d/f" || paths[2] != "e" {
			t.Errorf("entries %q, %v", paths, err)
		}
	})
}
