package receiver

import (
	"slices"
	"testing"

	"github.com/xferd/xferd/transfer"
)

// Directories above the destination that are made are told, and those that a run
// would make.
func TestMissingParentsAreTold(t *testing.T) {
	into := func(m *transfer.Open) { m.DestMode = transfer.DestInto }
	exact := func(*transfer.Open) {}
	file := []source{regular(root, "f", []byte("1"))}
	tests := []struct {
		name string
		dest string
		mode func(*transfer.Open)
		list []source
		want []string
	}{
		{"into", "a/b/c", into, file, []string{"a", "a/b", "a/b/c"}},
		{"exact", "a/b/c", exact, []source{regular(root, "", []byte("1"))}, []string{"a", "a/b"}},
		{"contents", "a/b", into, []source{dir(root, ""), endDir(0)}, []string{"a"}},
		{"there", "there/x", exact, []source{regular(root, "", []byte("1"))}, nil},
	}
	for _, tt := range tests {
		for _, dry := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				g := newRig(t)
				g.write("there/f", nil, testTime)
				o, fin := g.copyAll(g.request(tt.dest, tt.mode, func(m *transfer.Open) { m.Options.DryRun = dry }), tt.list...)
				if fin.Err != nil {
					t.Fatal(fin.Err)
				}
				var got, want []string
				o.mu.Lock()
				for _, r := range o.more {
					if r.Outcome == transfer.OutcomePublished && r.Kind == transfer.KindDir && r.Change == transfer.ChangeNew {
						got = append(got, r.Path)
					}
				}
				o.mu.Unlock()
				for _, p := range tt.want {
					want = append(want, g.path(p))
				}
				if !slices.Equal(got, want) {
					t.Errorf("told of %q, want %q", got, want)
				}
				if r := o.want(0, transfer.OutcomePublished); r.Change != transfer.ChangeNew {
					t.Errorf("the first entry changed by %b", r.Change)
				}
				if dry && exists(g.path("a")) {
					t.Error("a dry run made something")
				}
				g.wantClean()
			})
		}
	}
}
