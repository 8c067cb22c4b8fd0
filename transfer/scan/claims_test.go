package scan

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/xferd/xferd/transfer"
)

// Of two sources that give their contents directories merge, and of anything else
// the first has the name.
func TestNamesOfSeveralSources(t *testing.T) {
	top := tree(t, "q1/f", "q1/d/x", "q1/d/only1", "q1/dir/in", "q1/file", "q1/l -> f", "q2/f", "q2/d/x", "q2/d/only2", "q2/dir", "q2/file/in", "q2/l -> f", "other/q1/d", "f")
	if err := os.Chmod(filepath.Join(top, "q2/d"), 0o700); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		from  []string
		want  []string
		where string // in the error of f
	}{
		{"contents twice", []string{"q1/", "q2/"},
			[]string{"/", "/", "/ incomplete", "d/", "d/", "d/ incomplete", "d/only1", "d/only2", "d/x", "d/x INVALID_SPEC", "dir INVALID_SPEC", "dir/", "dir/in", "f", "f INVALID_SPEC", "file", "file INVALID_SPEC", "l -> f", "l INVALID_SPEC"}, "q2/f"},
		{"a name after contents", []string{"q1/", "f"},
			[]string{"/", "d/", "d/only1", "d/x", "dir/", "dir/in", "f", "f INVALID_SPEC", "file", "l -> f"}, "f"},
		{"contents after a name", []string{"f", "q2/"},
			[]string{"/", "/ incomplete", "d/", "d/only2", "d/x", "dir", "f", "f INVALID_SPEC", "file/", "file/in", "l -> f"}, "q2/f"},
		{"directories by name", []string{"q1", "q2"}, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, totals, err := run(t, top, transfer.Spec{Sources: sources(tt.from...), DestMode: transfer.DestInto}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.lines(); tt.want != nil && !slices.Equal(got, tt.want) {
				t.Errorf("found\n%q, want\n%q", got, tt.want)
			}
			if int(totals.Failed) != len(c.results) {
				t.Errorf("%d failures counted, %d told", totals.Failed, len(c.results))
			}
			for _, r := range c.results {
				if r.Path != "f" {
					continue
				}
				if text := r.Err.Error(); r.Err.Path != filepath.Join(top, tt.where) || !strings.Contains(text, filepath.Join(top, tt.from[0])) {
					t.Errorf("%s does not name both sources", text)
				}
			}
			for _, f := range c.found {
				if c.paths[f.Number] == "d" && tt.from[0] == "q1/" && f.Meta.Perm != 0o755 {
					t.Errorf("a directory has mode %o, not that of the first source", f.Meta.Perm)
				}
			}
		})
	}
}

// With links followed all names of a file stay one, as many as there are.
func TestFollowedLinksAndHardlinks(t *testing.T) {
	top := tree(t, "s/m", "s/z = s/m", "s/a -> m", "s/n -> z", "s/y -> m")
	c, _, err := run(t, top, transfer.Spec{Sources: sources("s"), Follow: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	files, links := 0, map[uint64]int{}
	for _, f := range c.found {
		switch f.Kind {
		case transfer.KindFile:
			files++
		case transfer.KindHardlink:
			links[f.LinkTo]++
		}
	}
	if files != 1 || len(links) != 1 {
		t.Errorf("%d files, links to %v: one file with five names is wanted", files, links)
	}
}
