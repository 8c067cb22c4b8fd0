package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/test/needs"
)

// A tree with all that a tree can have is copied with -a; rsync must find no
// difference, and nor must this test. A second run moves nothing.
func TestP1P9EverythingIsKept(t *testing.T) {
	t.Parallel()
	c, dirs := useShared(t)
	src, dst := filepath.Join(dirs[0], "tree"), filepath.Join(dirs[1], "tree")
	tree := everything(t, src)

	first := c.transfer(t, 0, "cp", "-a", "n1:"+src, "n2:"+dirs[1]+"/")
	if n := first.GetCounters().GetSpecialsSkipped(); n != tree.specials() {
		t.Errorf("%d special files are counted as skipped, want %d", n, tree.specials())
	}
	if n := first.GetCounters().GetEntriesLost(); n != 0 {
		t.Errorf("%d entries are said to have lost something", n)
	}
	checkEverything(t, src, dst)

	second := c.transfer(t, 0, "cp", "-a", "n1:"+src, "n2:"+dirs[1]+"/")
	if n := moved(second); n != 0 {
		t.Errorf("the second run moved %d bytes", n)
	}
	if k := second.GetCounters(); k.GetFilesCopied() != 0 || k.GetFilesSame() != first.GetCounters().GetFilesTotal() {
		t.Errorf("the second run did something: %v", k)
	}
	checkEverything(t, src, dst)

	// Comparing by content finds nothing either.
	third := c.transfer(t, 0, "sync", "-a", "--checksum", "--delete", "n1:"+src+"/", "n2:"+dst+"/")
	if n, k := moved(third), third.GetCounters(); n != 0 || k.GetFilesCopied() != 0 || k.GetDeleted() != 0 {
		t.Errorf("the run with --checksum moved %d bytes: %v", n, k)
	}
	checkEverything(t, src, dst)
}

func checkEverything(t *testing.T, src, dst string) {
	t.Helper()
	inSpecial := func(rel string) bool { return strings.HasPrefix(rel, "special/") }
	if err := same(src, dst, inSpecial); err != nil {
		t.Error(err)
	}
	noTemps(t, dst)
	judge(t, src, dst, "--exclude=/special/*")
	if t.Failed() {
		t.FailNow()
	}
}

// Special files are made when they are asked for.
func TestSpecialFilesWhenAskedFor(t *testing.T) {
	t.Parallel()
	needs.Root(t)
	c, dirs := useShared(t)
	src, dst := filepath.Join(dirs[0], "tree"), filepath.Join(dirs[1], "tree")
	tree := newTree(t, src)
	tree.special()
	tree.file("beside", 10)
	tree.must(os.Link(tree.path("special/fifo"), tree.path("fifo2")))
	tree.must(os.Link(tree.path("special/null"), tree.path("null2")))
	tree.times()
	c.ok(t, "cp", "-a", "--preserve=+specials,+devices", "n1:"+src, "n2:"+dst)
	equal(t, src, dst)
	judge(t, src, dst)
	r := c.ok(t, "cp", "-a", "--preserve=+specials,+devices", "--itemize", "n1:"+src, "n2:"+dst)
	if strings.Contains(r.stdout, "special/") {
		t.Errorf("the second run changes something\n%s", r)
	}
}

// What -a keeps is not kept without it, and what is always kept is.
func TestPlainCopyKeepsTheDefaults(t *testing.T) {
	t.Parallel()
	c, dirs := useShared(t)
	src, dst := filepath.Join(dirs[0], "tree"), filepath.Join(dirs[1], "tree")
	tree := everything(t, src)
	tree.must(os.RemoveAll(tree.path("owners"))) // setuid of another owner: see the next test
	c.ok(t, "cp", "n1:"+src, "n2:"+dst)
	judge(t, src, dst, "--no-o", "--no-g", "--no-A", "--no-X", "--exclude=/special/*", "--exclude=/attrs/acl-*", "--exclude=/attrs/default", "--exclude=/modes")
	if x, err := xattrsOf(filepath.Join(dst, "attrs/file")); err != nil || x != "" {
		t.Errorf("attributes were kept without -a: %q, %v", x, err)
	}
}

// A file that runs with the rights of its owner must not do so under another
// owner: the bit is not kept, which is counted and is exit 5.
func TestP9SetuidIsNotGivenToAnotherOwner(t *testing.T) {
	t.Parallel()
	needs.Root(t)
	c, dirs := useShared(t)
	src, dst := filepath.Join(dirs[0], "f"), filepath.Join(dirs[1], "f")
	tree := newTree(t, dirs[0])
	tree.file("f", 100)
	tree.must(os.Lchown(src, 1000, 1000))
	tree.must(unix.Chmod(src, 0o6755))
	tr := c.transfer(t, 5, "cp", "n1:"+src, "n2:"+dst)
	if n := tr.GetCounters().GetEntriesLost(); n != 1 {
		t.Errorf("%d entries lost something", n)
	}
	if f, err := look(dst); err != nil || f.perm != 0o755 {
		t.Errorf("mode %o, %v", f.perm, err)
	}
	c.ok(t, "cp", "-a", "n1:"+src, "n2:"+dst)
	equal(t, src, dst)
}

// Within one node the same holds, by the local path.
func TestP9EverythingIsKeptInOneNode(t *testing.T) {
	t.Parallel()
	c, dirs := useShared(t)
	src, dst := filepath.Join(dirs[0], "tree"), filepath.Join(dirs[0], "copy")
	everything(t, src)
	tr := c.transfer(t, 0, "cp", "-a", "n1:"+src, "n1:"+dst)
	if p := tr.GetDataPath(); p.GetTransport() != "local" {
		t.Errorf("the path is %v", p)
	}
	checkEverything(t, src, dst)
	tr = c.transfer(t, 0, "cp", "-a", "n1:"+src, "n1:"+dst)
	if moved(tr) != 0 || tr.GetState() != xferv1.State_STATE_SUCCEEDED {
		t.Errorf("the second run: %v", tr)
	}
}

// On the file system that the machine has for temporary files: there, syncs and
// allocation are real.
func TestP2EverythingIsKeptOnDisk(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "xe2e.")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c, f := useFarmAt(t, dir, 2)
	src, dst := filepath.Join(f.daemons[0].data, "tree"), filepath.Join(f.daemons[1].data, "tree")
	everything(t, src)
	c.ok(t, "cp", "-a", "n1:"+src, "n2:"+dst)
	checkEverything(t, src, dst)
	if tr := c.transfer(t, 0, "cp", "-a", "n1:"+src, "n2:"+dst); moved(tr) != 0 {
		t.Errorf("the second run moved %d bytes", moved(tr))
	}
	// The same with the strongest verification, from one tree into another.
	tr := c.transfer(t, 0, "cp", "-a", "--verify", "store", "n2:"+dst, "n1:"+src+"2")
	if v := tr.GetDataPath().GetVerify(); v != "store" {
		t.Errorf("verified: %q", v)
	}
	checkEverything(t, dst, src+"2")
}
