package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/test/needs"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// Two trees that overlap are copied from two nodes at a time. Both end well, and each
// file that both have is that of one of them, whole.
func TestP1OverlappingTrees(t *testing.T) {
	t.Parallel()
	c, dirs := useShared(t)
	outer, inner := newTree(t, filepath.Join(dirs[0], "tree")), newTree(t, filepath.Join(dirs[2], "sub"))
	const files = 400
	size := func(i int) int { return 1 + i*i*7%40_000 }
	for i := range files {
		outer.file(fmt.Sprintf("sub/%d/%d", i%7, i), size(i))
		inner.file(fmt.Sprintf("%d/%d", i%7, i), size(i)+1)
	}
	for _, large := range []string{"sub/large", "large"} {
		outer.file(large, 6<<20)
	}
	inner.file("large", 6<<20+1)
	dst := filepath.Join(dirs[1], "dst")
	for range 3 {
		a := c.detach(t, "cp", "--chunk-size", "1MiB", "n1:"+outer.root, "n2:"+dst)
		b := c.detach(t, "cp", "--chunk-size", "1MiB", "n3:"+inner.root, "n2:"+dst+"/sub")
		for _, name := range []string{a, b} {
			if tr := c.waitOver(t, name); tr.GetState() != xferv1.State_STATE_SUCCEEDED {
				t.Errorf("%s: %v", tr.GetState(), reasonsOf(tr))
			}
		}
		for path, got := range must(survey(dst, nil))(t) {
			if got.kind != unix.S_IFREG {
				continue
			}
			a := must(look(outer.path(path)))(t)
			b := a
			if rel, err := filepath.Rel("sub", path); err == nil && filepath.IsLocal(rel) {
				b = must(look(inner.path(rel)))(t)
			}
			if got.digest != a.digest && got.digest != b.digest {
				t.Errorf("%s is neither of the two", path)
			}
		}
		noTemps(t, dst)
		if err := os.RemoveAll(dst); err != nil {
			t.Fatal(err)
		}
	}
}

// One file of the destination has two names: by a hard link, or by a bind mount. What is copied to a name is whole there; a hard
// link is parted, and never written through.
func TestP1TwoNamesOfOneFile(t *testing.T) {
	t.Parallel()
	t.Run("HardLink", func(t *testing.T) {
		t.Parallel()
		c, dirs := useShared(t)
		tree := newTree(t, filepath.Join(dirs[0], "src"))
		tree.file("a", 5<<20)
		tree.file("b", 6<<20)
		there := newTree(t, filepath.Join(dirs[1], "dst"))
		there.file("a", 100)
		for _, name := range []string{"b", "other"} {
			there.must(os.Link(there.path("a"), there.path(name)))
		}
		old := must(look(there.path("other")))(t)
		c.ok(t, "cp", "n1:"+tree.root, "n2:"+there.root)
		now := must(look(there.path("other")))(t)
		if now.digest != old.digest {
			t.Error("what was not copied to was written")
		}
		for _, name := range []string{"a", "b"} {
			equal(t, tree.path(name), there.path(name))
		}
	})
	t.Run("BindMount", func(t *testing.T) {
		t.Parallel()
		needs.Root(t)
		c, dirs := useShared(t)
		src := newTree(t, dirs[0]).file("f", 16<<20)
		other := newTree(t, dirs[2]).file("f", 1000)
		there := newTree(t, dirs[1])
		there.dir("real")
		there.dir("alias")
		if err := unix.Mount(there.path("real"), there.path("alias"), "", unix.MS_BIND, ""); err != nil {
			needs.Missing(t, "cannot bind: %v", err)
		}
		t.Cleanup(func() { _ = unix.Unmount(there.path("alias"), unix.MNT_DETACH) })
		name := c.detach(t, append([]string{"cp", "n1:" + src, "n2:" + there.path("real/f")}, slower...)...)
		c.landed(t, name, 1<<20)
		c.exits(t, 10, "cp", "n3:"+other, "n2:"+there.path("alias/f")) // DEST_BUSY
		c.ok(t, "transfers", "cancel", "--purge", name)
		c.waitOver(t, name)
		c.ok(t, "cp", "n3:"+other, "n2:"+there.path("alias/f"))
		equal(t, other, there.path("real/f"))
	})
}

// Attributes of files; see linux/fs.h.
const (
	immutable  = 0x10
	appendOnly = 0x20
)

// flags sets or clears attributes of a file, as chattr(1) does.
func flags(path string, which int, on bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	have, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	have &^= which
	if on {
		have |= which
	}
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, have)
}

// What may not be changed stays, and fails alone, with a reason that says so.
func TestImmutableDestination(t *testing.T) {
	t.Parallel()
	needs.Root(t)
	c, dirs := useShared(t)
	tree := newTree(t, filepath.Join(dirs[0], "src"))
	tree.file("file", 3<<20)
	tree.file("log", 1000)
	tree.file("dir/new", 1000)
	tree.file("other", 1000)
	dst := newTree(t, filepath.Join(needs.Disk(t, "ext4", 64), "x"))
	at := filepath.Join(dirs[1], "dst")
	if err := errors.Join(os.Mkdir(at, 0o755), unix.Mount(filepath.Dir(dst.root), at, "", unix.MS_BIND, "")); err != nil {
		needs.Missing(t, "cannot bind: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
	which := map[string]int{"file": immutable, "log": appendOnly, "dir": immutable}
	for name, flag := range which {
		if name == "dir" {
			dst.dir(name)
		} else {
			dst.file(name, 10)
		}
		if err := flags(dst.path(name), flag, true); err != nil {
			needs.Missing(t, "no file can be made immutable: %v", err)
		}
		t.Cleanup(func() { _ = flags(dst.path(name), flag, false) })
	}
	before := map[string]facts{}
	for _, name := range []string{"file", "log"} {
		before[name] = must(look(dst.path(name)))(t)
	}
	tr := c.transfer(t, 11, "cp", "n1:"+tree.root, "n2:"+at+"/x")
	for _, x := range tr.GetFailures() {
		if reason := x.GetError().GetReason(); reason != "DEST_PERMISSION" {
			t.Errorf("%s: %s", x.GetPath(), reason)
		}
	}
	if !slices.Contains(reasonsOf(tr), "DEST_PERMISSION") || tr.GetState() != xferv1.State_STATE_PARTIALLY_SUCCEEDED {
		t.Errorf("%s: %v", tr.GetState(), reasonsOf(tr))
	}
	for name, was := range before {
		if now := must(look(dst.path(name)))(t); now != was {
			t.Errorf("%s is now %+v", name, now)
		}
	}
	equal(t, tree.path("other"), dst.path("other"))
	noTemps(t, at)
	for name, flag := range which {
		dst.must(flags(dst.path(name), flag, false))
	}
	c.ok(t, "cp", "n1:"+tree.root, "n2:"+at+"/x")
	equal(t, tree.root, dst.root)
}
