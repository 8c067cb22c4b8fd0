package receiver

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/xferd/xferd/transfer"
)

// TestStraysOfAPowerCut: names that reached the disk while the records of them did
// not are removed when the transfer goes on, and nothing else is.
func TestStraysOfAPowerCut(t *testing.T) {
	g := newRig(t)
	data := pattern(1000, 1)
	sources := []source{dir(root, ""), regular(0, "a", data), dir(0, "sub"), regular(2, "b", data), endDir(2), endDir(0)}
	sources[1].Name, sources[3].Name = "a", "b"
	if err := os.MkdirAll(g.path("x/sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	var names tempNames
	uid := g.crash(func(_ *journal, n tempNames) { names = n })
	others := newTempNames(transfer.NewUID(), 1, 77)
	kept := []string{
		"x/" + others.name(1), "x/sub/" + others.name(2), // of another transfer
		"x/" + newTempNames(uid, 1<<40, 77).name(1), // not of an earlier attempt
		"x/" + tempPrefix + "notes",
	}
	for _, name := range append(slices.Clone(kept), "x/"+names.name(1), "x/sub/"+names.name(2)) {
		g.write(name, []byte("part"), testTime)
	}
	if err := os.Symlink("a", g.path("x/"+names.name(3))); err != nil {
		t.Fatal(err)
	}
	m := g.request("x", func(m *transfer.Open) { m.UID = uid; m.Epoch += 1000 })
	g.restart()
	g.copyAll(m, sources...)
	g.wantFile("x/a", data)
	g.wantFile("x/sub/b", data)
	var left []string
	for _, name := range g.temps() {
		rel, _ := filepath.Rel(g.dir, name)
		left = append(left, rel)
	}
	slices.Sort(left)
	slices.Sort(kept)
	if !slices.Equal(left, kept) {
		t.Errorf("left are %q, want %q", left, kept)
	}
}
