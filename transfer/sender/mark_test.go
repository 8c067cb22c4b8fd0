package sender

import (
	"testing"

	"github.com/xferd/xferd/transfer"
)

// The target is asked for its mark where a directory is copied or something may be
// removed, and files of two nodes are on both sides.
func TestOpenAsksForTheMark(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*transfer.Spec)
		want   bool
	}{
		"a directory":     {func(*transfer.Spec) {}, true},
		"one node":        {func(s *transfer.Spec) { s.Target = s.Source }, false},
		"a dry run":       {func(s *transfer.Spec) { s.DryRun = true }, false},
		"a file":          {func(s *transfer.Spec) { s.Sources[0].Path += "/a"; s.Sources[0].Contents = false }, false},
		"a file by force": {func(s *transfer.Spec) { s.Sources[0].Path += "/a"; s.Sources[0].Contents = false; s.Force = true }, true},
		"deletes":         {func(s *transfer.Spec) { s.Mode, s.Delete = transfer.ModeSync, true }, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, map[string]int{"a": 10}, func(r *rig) {
				tt.change(&r.job.Spec)
				r.target.refuse = &transfer.Error{Reason: transfer.DestBusy}
			})
			_, _ = r.edge.Run(t.Context())
			m := r.target.got[0].(*transfer.Open)
			if m.Mark != tt.want {
				t.Errorf("mark %v, want %v", m.Mark, tt.want)
			}
		})
	}
}
