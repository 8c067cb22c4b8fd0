package scan

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// tree makes files under a fresh directory: "d/" a directory, "l -> x" a
// symlink, "h = x" a hardlink, "p |" a FIFO, others files that hold their name.
func tree(t *testing.T, names ...string) string {
	t.Helper()
	top := t.TempDir()
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range names {
		path := filepath.Join(top, strings.Fields(n)[0])
		do(os.MkdirAll(filepath.Dir(path), 0o755))
		switch {
		case strings.HasSuffix(n, "/"):
			do(os.MkdirAll(path, 0o755))
		case strings.Contains(n, " -> "):
			_, to, _ := strings.Cut(n, " -> ")
			do(os.Symlink(strings.ReplaceAll(to, "TOP", top), path))
		case strings.Contains(n, " = "):
			_, to, _ := strings.Cut(n, " = ")
			do(os.Link(filepath.Join(top, to), path))
		case strings.HasSuffix(n, " |"):
			do(syscall.Mkfifo(path, 0o644))
		default:
			do(os.WriteFile(path, []byte(n), 0o644))
		}
	}
	return top
}

// collect is a sink that checks the order of the manifest.
type collect struct {
	t       *testing.T
	found   []Found
	results []transfer.Result
	paths   map[uint64]string
	ended   map[uint64]bool
	current uint64 // directory whose children come
	entry   func(*Found) error
}

func (c *collect) Entry(f *Found) error {
	if c.entry != nil {
		if err := c.entry(f); err != nil {
			return err
		}
	}
	if f.Number != uint64(len(c.found)) {
		c.t.Errorf("entry %q has number %d, want %d", f.Name, f.Number, len(c.found))
	}
	if f.Parent != transfer.NoParent {
		if f.Parent >= f.Number || c.ended[f.Parent] {
			c.t.Errorf("entry %q comes before its parent or after its parent's end", f.Name)
		}
		if f.Parent != c.current && c.current != transfer.NoParent && !c.ended[c.current] {
			c.t.Errorf("children of %d are interrupted by %q", c.current, f.Name)
		}
		c.current = f.Parent
	}
	if f.Kind == transfer.KindEndDir {
		c.ended[f.Parent] = true
	} else {
		want := f.Name
		if f.Parent != transfer.NoParent {
			want = strings.TrimPrefix(c.paths[f.Parent]+"/"+f.Name, "/")
		}
		c.paths[f.Number] = want
		if got := f.Path(); got != want {
			c.t.Errorf("entry %d has path %q, want %q", f.Number, got, want)
		}
	}
	c.found = append(c.found, *f)
	return nil
}

// NoEntry implements Sink. Who reads of a failure has to find the name: its path is
// absolute.
func (c *collect) NoEntry(r transfer.Result) {
	if r.Err != nil && !filepath.IsAbs(r.Err.Path) {
		c.t.Errorf("the failure of %q names the path %q", r.Path, r.Err.Path)
	}
	c.results = append(c.results, r)
}

// lines describes what was found, sorted.
func (c *collect) lines() []string {
	var out []string
	for _, f := range c.found {
		s := c.paths[f.Number]
		switch f.Kind {
		case transfer.KindDir:
			s += "/"
		case transfer.KindSymlink:
			s += " -> " + f.Link
		case transfer.KindHardlink:
			s += " = " + c.paths[f.LinkTo]
		case transfer.KindFIFO:
			s += " |"
		case transfer.KindEndDir:
			if f.Flags&transfer.EntryFailed != 0 {
				s = c.paths[f.Parent] + "/ incomplete"
			} else {
				continue
			}
		}
		out = append(out, s)
	}
	for _, r := range c.results {
		s := r.Path + " skipped"
		if r.Err != nil {
			s = r.Path + " " + string(r.Err.Reason)
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

func run(t *testing.T, top string, spec transfer.Spec, entry func(*Found) error) (*collect, Totals, error) {
	t.Helper()
	exports, err := fsroot.OpenExports([]fsroot.Export{{Path: top}})
	if err != nil {
		t.Fatal(err)
	}
	defer exports.Close()
	dirs := NewDirs(4)
	defer dirs.Close()
	if spec.DestMode == "" {
		spec.DestMode = transfer.DestExact
	}
	if spec.Preserve == 0 {
		spec.Preserve = transfer.PreserveDefault
	}
	for i := range spec.Sources {
		spec.Sources[i].Path = filepath.Join(top, spec.Sources[i].Path)
	}
	for i := range spec.Pieces {
		spec.Pieces[i].Path = filepath.Join(top, spec.Pieces[i].Path)
	}
	c := &collect{t: t, paths: map[uint64]string{}, ended: map[uint64]bool{}, current: transfer.NoParent, entry: entry}
	s, err := New(Config{Node: "n1", Exports: exports, Dirs: dirs}, &spec)
	if err != nil {
		return c, Totals{}, err
	}
	totals, err := s.Run(t.Context(), c)
	if err == nil {
		if n := uint64(len(c.found)); totals.Entries != n {
			t.Errorf("%d entries, totals say %d", n, totals.Entries)
		}
		for _, f := range c.found {
			if f.Kind == transfer.KindDir && !c.ended[f.Number] {
				t.Errorf("directory %q has no end", c.paths[f.Number])
			}
		}
		if len(s.links) > 0 && !spec.Follow && spec.Filters == nil && spec.FilesFrom == nil {
			t.Errorf("%d hardlinks are still remembered", len(s.links))
		}
	}
	return c, totals, err
}

var sample = []string{"d/a", "d/b/c", "d/b/e/f", "d/empty/", "d/l -> a", "d/h1", "d/b/h2 = d/h1", "d/b/h3 = d/h1", "d/p |", "x"}

func sources(paths ...string) (all []transfer.Source) {
	for _, p := range paths {
		dir, contents := strings.CutSuffix(p, "/")
		all = append(all, transfer.Source{Path: dir, Contents: contents})
	}
	return all
}

func TestShapes(t *testing.T) {
	under := func(prefix string) []string {
		var out []string
		for _, s := range []string{"/", "/a", "/b/", "/b/c", "/b/e/", "/b/e/f", "/empty/", "/l -> a", "/p |"} {
			s = prefix + s
			if prefix == "" && s != "/" {
				s = s[1:]
			}
			out = append(out, s)
		}
		return out
	}
	tests := []struct {
		name string
		spec transfer.Spec
		want []string
	}{
		{"directory becomes the destination", transfer.Spec{Sources: sources("d")}, under("")},
		{"directory goes into it", transfer.Spec{Sources: sources("d"), DestMode: transfer.DestInto}, under("d")},
		{"contents", transfer.Spec{Sources: sources("d/"), DestMode: transfer.DestInto}, under("")},
		{"file becomes the destination", transfer.Spec{Sources: sources("x")}, []string{""}},
		{"several go into it", transfer.Spec{Sources: sources("x", "d/a"), DestMode: transfer.DestInto}, []string{"a", "x"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, totals, err := run(t, tree(t, sample...), tt.spec, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			links := 0
			for _, l := range c.lines() {
				if strings.Contains(l, "h1") || strings.Contains(l, "h2") || strings.Contains(l, "h3") {
					links++ // which of them is first depends on the order of the walk
					continue
				}
				got = append(got, l)
			}
			slices.Sort(tt.want)
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			if len(tt.want) > 5 && links != 3 {
				t.Errorf("%d names of the hardlinked file", links)
			}
			if totals.Failed != 0 {
				t.Errorf("%d scan errors", totals.Failed)
			}
		})
	}
}

func TestHardlinksAndSpecials(t *testing.T) {
	top := tree(t, sample...)
	c, _, err := run(t, top, transfer.Spec{Sources: sources("d"), Preserve: transfer.PreserveDefault | transfer.PreserveSpecials}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var first uint64
	var name string
	files, links := 0, 0
	for _, f := range c.found {
		if !strings.HasPrefix(f.Name, "h") {
			continue
		}
		if f.Kind == transfer.KindFile {
			files, first, name = files+1, f.Number, f.Path()
			if f.LinkTarget() != "" {
				t.Errorf("a file links to %q", f.LinkTarget())
			}
		} else if links++; f.LinkTo != first || f.LinkTo >= f.Number || f.LinkTarget() != name {
			t.Errorf("hardlink %q points to %d, %q, want %d, %q", f.Name, f.LinkTo, f.LinkTarget(), first, name)
		}
	}
	if files != 1 || links != 2 {
		t.Errorf("%d files and %d links", files, links)
	}
	if !slices.Contains(c.lines(), "p |") {
		t.Error("a FIFO that was asked for is missing")
	}
	c, _, err = run(t, top, transfer.Spec{Sources: sources("d"), Preserve: transfer.PreserveMode}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.lines(); !slices.Contains(got, "l -> a") || strings.Contains(strings.Join(got, " "), "=") {
		t.Errorf("without links: %q", got)
	}
}

func TestFollow(t *testing.T) {
	top := tree(t, "d/real/f", "d/file -> real/f", "d/dir -> real", "d/real/up -> ..", "d/gone -> nowhere", "d/out -> /etc/hostname", "d/abs -> TOP/d/real/f")
	c, totals, err := run(t, top, transfer.Spec{Sources: sources("d"), Follow: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/", "/ incomplete", "abs", "dir/", "dir/ incomplete", "dir/f", "dir/up SOURCE_NOT_REGULAR", "file",
		"gone SOURCE_NOT_FOUND", "out PATH_ESCAPES_ROOT", "real/", "real/ incomplete", "real/f", "real/up SOURCE_NOT_REGULAR"}
	slices.Sort(want)
	if got := c.lines(); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if totals.Failed != 4 {
		t.Errorf("%d scan errors, want 4", totals.Failed)
	}
}

func TestFiltersPrune(t *testing.T) {
	top := tree(t, "d/keep/a.o", "d/keep/b", "d/skip/c", "d/e.o", "d/dir.o/x")
	c, totals, err := run(t, top, transfer.Spec{Sources: sources("d"), Filters: []transfer.FilterRule{
		{Include: true, Pattern: "/keep/*.o"}, {Pattern: "*.o"}, {Pattern: "skip/"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.lines(), []string{"/", "keep/", "keep/a.o", "keep/b"}; !slices.Equal(got, want) || totals.Failed != 0 {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFilesFrom(t *testing.T) {
	top := tree(t, "d/a", "d/b/c/f", "d/b/c/g", "d/b/z", "d/whole/x", "d/whole/y/z")
	c, totals, err := run(t, top, transfer.Spec{Sources: sources("d"),
		FilesFrom: []string{"./b/c/f", "whole/", "missing/x", "b//c/f", "a/not-a-dir"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/", "/ incomplete", "a SOURCE_NOT_REGULAR", "b/", "b/ incomplete", "b/c/", "b/c/ incomplete", "b/c/f",
		"missing SOURCE_NOT_FOUND", "whole/", "whole/x", "whole/y/", "whole/y/z"}
	if got := c.lines(); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if totals.Failed != 2 {
		t.Errorf("%d scan errors, want 2", totals.Failed)
	}
}

func TestTempsAreNeverSent(t *testing.T) {
	c, _, err := run(t, tree(t, "d/.xferd.0123456789abcdef0123456789abcdef.1.abc", "d/.xferd.d/x", "d/.xfer"), transfer.Spec{Sources: sources("d")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.lines(), []string{".xfer", ".xferd.0123456789abcdef0123456789abcdef.1.abc skipped", ".xferd.d RESERVED_NAME", "/"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBadSpecs(t *testing.T) {
	top := tree(t, "d/a", "x", "y/x", ".xferd.t")
	tests := []struct {
		name string
		spec transfer.Spec
		want transfer.Reason
	}{
		{"no source", transfer.Spec{}, transfer.InvalidSpec},
		{"two sources, one destination", transfer.Spec{Sources: sources("x", "d")}, transfer.InvalidSpec},
		{"same name twice", transfer.Spec{Sources: sources("x", "y/x"), DestMode: transfer.DestInto}, transfer.InvalidSpec},
		{"bad filter", transfer.Spec{Sources: sources("d"), Filters: []transfer.FilterRule{{Pattern: "["}}}, transfer.InvalidSpec},
		{"absolute file list", transfer.Spec{Sources: sources("d"), FilesFrom: []string{"/a"}}, transfer.InvalidSpec},
		{"file list that climbs", transfer.Spec{Sources: sources("d"), FilesFrom: []string{"a/../../x"}}, transfer.InvalidSpec},
		{"outside", transfer.Spec{Sources: sources("../elsewhere")}, transfer.PathNotAllowed},
		{"temp", transfer.Spec{Sources: sources(".xferd.t")}, transfer.ReservedName},
		{"missing", transfer.Spec{Sources: sources("gone")}, transfer.SourceNotFound},
		{"missing parent", transfer.Spec{Sources: sources("gone/x")}, transfer.SourceNotFound},
		{"all missing", transfer.Spec{Sources: sources("g1", "g2"), DestMode: transfer.DestInto}, transfer.SourceNotFound},
		{"contents of a file", transfer.Spec{Sources: sources("x/")}, transfer.SourceNotRegular},
		{"no pieces", transfer.Spec{Mode: transfer.ModeAssemble}, transfer.InvalidSpec},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _, err := run(t, top, tt.spec, nil)
			if got := transfer.ReasonOf(err); got != tt.want {
				t.Errorf("error %v, want reason %s", err, tt.want)
			}
			if len(c.found) > 0 {
				t.Errorf("found %q", c.lines())
			}
		})
	}
	c, totals, err := run(t, top, transfer.Spec{Sources: sources("gone", "x"), DestMode: transfer.DestInto}, nil)
	if got, want := c.lines(), []string{"gone SOURCE_NOT_FOUND", "x"}; err != nil || !slices.Equal(got, want) || totals.Failed != 1 {
		t.Errorf("one missing: %q, %v", got, err)
	}
}

func TestSinkEndsTheScan(t *testing.T) {
	stop := errors.New("stop")
	for n := range 4 {
		count := 0
		_, _, err := run(t, tree(t, sample...), transfer.Spec{Sources: sources("d")}, func(*Found) error {
			if count++; count > n {
				return fmt.Errorf("at %d: %w", n, stop)
			}
			return nil
		})
		if !errors.Is(err, stop) {
			t.Errorf("stopped at entry %d: %v", n, err)
		}
	}
}
