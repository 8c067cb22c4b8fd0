package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Names of one file that are further apart than the target grants entries at a
// time: the later ones become links all the same, of files that were made and of
// those that were there already.
func TestHardLinksAcrossTheCreditWindow(t *testing.T) {
	t.Parallel()
	c, dirs := useShared(t)
	src, dst := filepath.Join(dirs[0], "src"), filepath.Join(dirs[1], "dst")
	tree := newTree(t, src)
	const window, links = 8192, 40
	for i := range links {
		tree.file(fmt.Sprintf("a/%d", i), i*1000) // the first ones are small, the last ones too
	}
	tree.file("a/large", 5<<20)
	tree.must(unix.Mkfifo(tree.path("a/fifo"), 0o600)) // skipped, with all its names
	for d := range 10 {
		dir := tree.dir(fmt.Sprintf("m/%d", d))
		for i := range window / 8 {
			tree.must(os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o644))
		}
	}
	tree.dir("z")
	for i := range links {
		tree.must(os.Link(tree.path(fmt.Sprintf("a/%d", i)), tree.path(fmt.Sprintf("z/%d", i))))
	}
	tree.must(os.Link(tree.path("a/large"), tree.path("z/large")))
	tree.must(os.Link(tree.path("a/fifo"), tree.path("z/fifo")))
	tree.times()
	noFIFO := func(rel string) bool { return filepath.Base(rel) == "fifo" }

	for _, run := range []string{"first", "second", "some are gone"} {
		if run == "some are gone" {
			for _, name := range []string{"a/3", "z/5", "a/large"} {
				if err := os.Remove(filepath.Join(dst, name)); err != nil {
					t.Fatal(err)
				}
			}
			// What was one file is two with the same contents.
			b := must(os.ReadFile(filepath.Join(dst, "z/7")))(t)
			tree.must(os.Remove(filepath.Join(dst, "z/7")))
			tree.must(os.WriteFile(filepath.Join(dst, "z/7"), b, 0o644))
		}
		tr := c.transfer(t, 0, "cp", "-a", "n1:"+src, "n2:"+dst)
		if n := tr.GetCounters().GetSpecialsSkipped(); n != 2 {
			t.Errorf("%s: %d special files are skipped, want both names", run, n)
		}
		if run == "second" && moved(tr) != 0 {
			t.Errorf("the second run moved %d bytes", moved(tr))
		}
		if err := same(src, dst, noFIFO); err != nil {
			t.Errorf("%s: %v", run, err)
		}
	}
}
