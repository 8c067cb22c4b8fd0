package scan

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// scanMarked scans top/src with the target's mark at a place: "in" and "beside" at its
// end stand for the names.
func scanMarked(t *testing.T, top, at string, spec transfer.Spec) error {
	t.Helper()
	mark := transfer.MarkOf(transfer.NewUID(), 3)
	if at != "" {
		name := mark.In
		if filepath.Base(at) == "beside" {
			name = mark.Beside
		}
		if err := os.WriteFile(filepath.Join(top, filepath.Dir(at), name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	exports, err := fsroot.OpenExports([]fsroot.Export{{Path: top}})
	if err != nil {
		t.Fatal(err)
	}
	defer exports.Close()
	dirs := NewDirs(0)
	defer dirs.Close()
	s, err := New(Config{Node: "n1", Exports: exports, Dirs: dirs, Mark: mark}, &spec)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Run(context.Background(), &collect{t: t, paths: map[uint64]string{}, ended: map[uint64]bool{}, current: transfer.NoParent})
	return err
}

// By the target's mark the owner knows that source and destination meet, where two
// nodes reach one file system and no number of the kernel tells.
func TestP5SourceAndDestinationMeet(t *testing.T) {
	type change = func(*transfer.Spec)
	contents := func(s *transfer.Spec) { s.Sources[0].Contents = true }
	into := func(s *transfer.Spec) { s.DestMode = transfer.DestInto }
	deletes := func(s *transfer.Spec) { s.Mode, s.Delete = transfer.ModeSync, true; contents(s) }
	force := func(s *transfer.Spec) { s.Force = true }
	source := func(rel string) change {
		return func(s *transfer.Spec) { s.Sources[0].Path = strings.TrimSuffix(s.Sources[0].Path, "src") + rel }
	}
	excluded := func(s *transfer.Spec) { s.Filters = []transfer.FilterRule{{Pattern: "sub"}} }
	for name, tt := range map[string]struct {
		at      string
		changes []change
		want    transfer.Reason
	}{
		"none":                           {"", []change{deletes}, ""},
		"elsewhere":                      {"other/in", []change{deletes}, ""},
		"deletes in a parent of it":      {"in", []change{deletes}, transfer.SameFile},
		"deletes in itself":              {"src/in", []change{deletes}, transfer.SameFile},
		"deletes inside":                 {"src/sub/in", []change{deletes}, transfer.DestInsideSource},
		"deletes, new, beside it":        {"beside", []change{deletes}, ""},
		"deletes, new, inside":           {"src/beside", []change{deletes}, transfer.DestInsideSource},
		"deletes, by a link":             {"other/in", []change{deletes, source("link")}, transfer.SameFile},
		"deletes, what is excluded":      {"src/sub/in", []change{deletes, excluded}, ""},
		"a copy from inside":             {"in", []change{}, ""},
		"a copy onto itself":             {"src/in", []change{}, transfer.SameFile},
		"a copy of contents onto itself": {"src/in", []change{into, contents}, transfer.SameFile},
		"a copy into itself":             {"src/in", []change{into}, transfer.DestInsideSource},
		"a copy deep into itself":        {"src/sub/beside", []change{}, transfer.DestInsideSource},
		"by force, from inside":          {"in", []change{force}, transfer.SameFile},
		"by force, a file":               {"src/in", []change{force, source("src/f")}, transfer.SameFile},
		"by force, a new name":           {"src/beside", []change{force, source("src/f")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			top := tree(t, "src/f", "src/sub/g", "other/real/h", "link -> other/real")
			spec := transfer.Spec{Mode: transfer.ModeCopy, Source: "n1", Target: "n2", DestMode: transfer.DestExact,
				Sources: []transfer.Source{{Path: filepath.Join(top, "src")}}, Preserve: transfer.PreserveDefault}
			for _, c := range tt.changes {
				c(&spec)
			}
			err := scanMarked(t, top, tt.at, spec)
			if got := transfer.ReasonOf(err); err == nil && tt.want != "" || err != nil && got != tt.want {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}
