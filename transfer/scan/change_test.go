package scan

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/test/needs"
	"github.com/xferd/xferd/transfer"
)

func TestVanishing(t *testing.T) {
	top := tree(t, "d/sub/x", "d/sub/y")
	// What vanishes before it was looked at is a failed name, and no reason to
	// keep its copy.
	c, totals, err := run(t, top, transfer.Spec{Sources: sources("d/sub")}, func(f *Found) error {
		if f.Name == "x" || f.Name == "y" {
			_ = os.Remove(filepath.Join(top, "d/sub/x"))
			_ = os.Remove(filepath.Join(top, "d/sub/y"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.results) != 1 || c.results[0].Err == nil || c.results[0].Err.Reason != transfer.SourceVanished || totals.Failed != 0 {
		t.Errorf("results %v, %d scan errors", c.results, totals.Failed)
	}
	if c.results[0].Entry != transfer.NoEntry {
		t.Errorf("entry number %d", c.results[0].Entry)
	}
	// A directory that cannot be read leaves the manifest incomplete.
	c, totals, err = run(t, top, transfer.Spec{Sources: sources("d")}, func(f *Found) error {
		if f.Name == "sub" {
			return os.RemoveAll(filepath.Join(top, "d/sub"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.lines(), []string{"/", "sub SOURCE_VANISHED", "sub/", "sub/ incomplete"}; !slices.Equal(got, want) || totals.Failed != 1 {
		t.Errorf("got %q with %d scan errors, want %q", got, totals.Failed, want)
	}
}

func TestDirectorySwappedForALink(t *testing.T) {
	top := tree(t, "d/sub/x", "other/secret")
	c, totals, err := run(t, top, transfer.Spec{Sources: sources("d")}, func(f *Found) error {
		if f.Name != "sub" {
			return nil
		}
		return errors.Join(os.RemoveAll(filepath.Join(top, "d/sub")), os.Symlink("../other", filepath.Join(top, "d/sub")))
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.lines(); slices.Contains(got, "sub/secret") || totals.Failed != 1 {
		t.Errorf("a link was followed: %q, %d scan errors", got, totals.Failed)
	}
}

func TestOneFS(t *testing.T) {
	top := tree(t, "d/a", "d/m/hidden")
	mnt := filepath.Join(top, "d/m")
	needs.TmpfsAt(t, mnt, "size=64k")
	if err := os.WriteFile(filepath.Join(mnt, "inside"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for one, want := range map[bool][]string{
		true:  {"/", "a", "m/", "m/ incomplete"},
		false: {"/", "a", "m/", "m/inside"},
	} {
		c, totals, err := run(t, top, transfer.Spec{Sources: sources("d"), OneFS: one}, nil)
		if got := c.lines(); err != nil || !slices.Equal(got, want) || totals.Failed != 0 {
			t.Errorf("OneFS %v: got %q, %v; want %q", one, got, err, want)
		}
	}
}

func TestXattrs(t *testing.T) {
	top := tree(t, "d/f")
	for _, name := range []string{"d", "d/f"} {
		if err := unix.Setxattr(filepath.Join(top, name), "user.k", []byte(name), 0); err != nil {
			needs.Missing(t, "no extended attributes here: %v", err)
		}
	}
	for keep, want := range map[transfer.Preserve]int{transfer.PreserveDefault: 0, transfer.PreserveArchive: 2, transfer.PreserveACLs: 0} {
		c, _, err := run(t, top, transfer.Spec{Sources: sources("d"), Preserve: keep}, nil)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, f := range c.found {
			for _, x := range f.Meta.Xattrs {
				if n++; x.Name != "user.k" || string(x.Value) != strings.TrimSuffix("d/"+f.Name, "/") {
					t.Errorf("%q has %s = %q", f.Name, x.Name, x.Value)
				}
			}
		}
		if n != want {
			t.Errorf("preserve %b: %d attributes, want %d", keep, n, want)
		}
	}
}

// TestAttributesOfTheSystem: the capabilities of a program cross, what belongs to
// this machine does not.
func TestAttributesOfTheSystem(t *testing.T) {
	top := tree(t, "d/f")
	for _, name := range []string{fsroot.Capability, "trusted.x"} {
		if err := unix.Setxattr(filepath.Join(top, "d/f"), name, []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0); err != nil {
			needs.Missing(t, "%s cannot be set: %v", name, err)
		}
	}
	c, _, err := run(t, top, transfer.Spec{Sources: sources("d/f"), Preserve: transfer.PreserveArchive}, nil)
	if err != nil || len(c.found) != 1 {
		t.Fatal(c.found, err)
	}
	if x := c.found[0].Meta.Xattrs; len(x) != 1 || x[0].Name != fsroot.Capability || c.found[0].Lost != 0 {
		t.Errorf("%+v, lost %b", x, c.found[0].Lost)
	}
}

func TestP9TimeBeyondNanoseconds(t *testing.T) {
	top := tree(t, "d/far", "d/now")
	far := []unix.Timespec{{Sec: 1 << 33}, {Sec: 1 << 34}} // the year 2514
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(top, "d/far"), far, 0); err != nil {
		t.Fatal(err)
	}
	for keep, want := range map[transfer.Preserve]transfer.Preserve{transfer.PreserveTimes: transfer.PreserveTimes, transfer.PreserveMode: 0} {
		for name, lost := range map[string]transfer.Preserve{"d/far": want, "d/now": 0} {
			c, _, err := run(t, top, transfer.Spec{Sources: sources(name), Preserve: keep}, nil)
			if err != nil || len(c.found) != 1 {
				t.Fatal(c.found, err)
			}
			if c.found[0].Lost != lost {
				t.Errorf("%s, keeping %b: lost %b", name, keep, c.found[0].Lost)
			}
		}
	}
}

func TestFingerprintAndAgain(t *testing.T) {
	top := tree(t, "d/f")
	exports, err := fsroot.OpenExports([]fsroot.Export{{Path: top}})
	if err != nil {
		t.Fatal(err)
	}
	defer exports.Close()
	dirs := NewDirs(0)
	defer dirs.Close()
	s, err := New(Config{Exports: exports, Dirs: dirs}, &transfer.Spec{Sources: sources(top + "/d/f"), DestMode: transfer.DestExact})
	if err != nil {
		t.Fatal(err)
	}
	c := &collect{t: t, paths: map[uint64]string{}, current: transfer.NoParent}
	if _, err := s.Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	f := c.found[0]
	if now, err := s.Fingerprint(&f); err != nil || now != f.Print {
		t.Errorf("fingerprint %+v, %v; was %+v", now, err, f.Print)
	}
	if err := os.WriteFile(filepath.Join(top, "d/f"), []byte("longer than before"), 0o644); err != nil {
		t.Fatal(err)
	}
	now, err := s.Fingerprint(&f)
	if err != nil || now == f.Print {
		t.Errorf("a change was not noticed: %v", err)
	}
	g, err := s.Again(&f)
	if err != nil || g.Print != now || g.Size != 18 || g.Number != f.Number || g.Name != f.Name {
		t.Errorf("again: %+v, %v", g.Entry, err)
	}
	if err := errors.Join(os.Remove(filepath.Join(top, "d/f")), os.Mkdir(filepath.Join(top, "d/f"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Again(&f); transfer.ReasonOf(SourceError(err, transfer.PhaseRead, "", "")) != transfer.SourceNotRegular {
		t.Errorf("a directory in its place: %v", err)
	}
	if err := os.Remove(filepath.Join(top, "d/f")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Fingerprint(&f); transfer.ReasonOf(SourceError(err, transfer.PhaseRead, "", "")) != transfer.SourceVanished {
		t.Errorf("removed: %v", err)
	}
}

func TestAssemble(t *testing.T) {
	top := tree(t, "a", "dir/b")
	must := func(name string, n int) {
		if err := os.WriteFile(filepath.Join(top, name), make([]byte, n), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	must("a", 100)
	must("dir/b", 50)
	piece := func(path string, off, n, dest int64) transfer.Piece {
		return transfer.Piece{Path: path, Offset: off, Length: n, DestOffset: dest}
	}
	spec := func(p ...transfer.Piece) transfer.Spec { return transfer.Spec{Mode: transfer.ModeAssemble, Pieces: p} }
	c, _, err := run(t, top, spec(piece("dir/b", 10, -1, 200), piece("a", 0, 100, 0), piece("dir/b", 0, 10, 100), piece("a", 5, 0, 7)), nil)
	if err != nil {
		t.Fatal(err)
	}
	f := c.found[0]
	if len(c.found) != 1 || f.Kind != transfer.KindFile || f.Size != 240 || f.Print.Size != 240 || f.Print.Ino == 0 || f.Flags != transfer.EntrySparse || f.Meta.Perm != 0o644 {
		t.Errorf("entry %+v", f.Entry)
	}
	want := []AssemblyPiece{{1, 0, 100, 0}, {0, 0, 10, 100}, {0, 10, 40, 200}}
	if !slices.Equal(f.Assembly.Pieces, want) {
		t.Errorf("pieces %v, want %v", f.Assembly.Pieces, want)
	}
	for name, bad := range map[string]transfer.Spec{
		"overlap":   spec(piece("a", 0, 100, 0), piece("dir/b", 0, 10, 99)),
		"too long":  spec(piece("a", 50, 51, 0)),
		"beyond":    spec(piece("a", 101, -1, 0)),
		"negative":  spec(piece("a", -1, 5, 0)),
		"too large": spec(piece("a", 0, 100, 1<<62)),
	} {
		if _, _, err := run(t, top, bad, nil); transfer.ReasonOf(err) != transfer.InvalidSpec {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := run(t, top, spec(piece("dir", 0, -1, 0)), nil); transfer.ReasonOf(err) != transfer.SourceNotRegular {
		t.Errorf("a directory as a piece: %v", err)
	}
	if _, _, err := run(t, top, spec(piece("gone", 0, -1, 0)), nil); transfer.ReasonOf(err) != transfer.SourceNotFound {
		t.Errorf("a missing piece: %v", err)
	}
}

func TestDirsBoundsDescriptors(t *testing.T) {
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("d%d/e/f", i))
	}
	top := tree(t, names...)
	exports, err := fsroot.OpenExports([]fsroot.Export{{Path: top}})
	if err != nil {
		t.Fatal(err)
	}
	defer exports.Close()
	root, _, err := exports.Resolve(top, false)
	if err != nil {
		t.Fatal(err)
	}
	c := NewDirs(3)
	base := &Dir{root: root}
	var wg sync.WaitGroup
	for i := range 20 {
		d := &Dir{parent: &Dir{parent: base, name: fmt.Sprintf("d%d", i)}, name: "e"}
		for range 4 {
			wg.Go(func() {
				for range 50 {
					if info, err := c.Stat(Place{Dir: d, Name: "f"}); err != nil || info.Kind != fsroot.Regular {
						t.Errorf("stat: %v", err)
					}
				}
			})
		}
	}
	wg.Wait()
	if c.open > 3 {
		t.Errorf("%d descriptors are kept", c.open)
	}
	if err := c.Close(); err != nil || c.open != 0 {
		t.Errorf("after Close: %d open, %v", c.open, err)
	}
	fd, err := c.Open(base)
	if err != nil {
		t.Fatal(err)
	}
	if err := fd.Close(); err != nil || c.open != 0 {
		t.Errorf("a closed cache kept a descriptor: %v", err)
	}
}
