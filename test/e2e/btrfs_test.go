package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/test/needs"
)

// btrfs is a btrfs on a loop device: the one file system here that keeps quotas and
// finds out that a disk gives back other bytes.
type btrfs struct {
	t          *testing.T
	image, dir string
}

// newBtrfs mounts one at dir.
func newBtrfs(t *testing.T, dir string) *btrfs {
	t.Helper()
	needs.Root(t)
	b := &btrfs{t, filepath.Join(newDir(t), "image"), dir}
	mkfs := needs.Program(t, "mkfs.btrfs")
	must(0, os.WriteFile(b.image, nil, 0o600))(t)
	must(0, os.Truncate(b.image, 256<<20))(t)
	must(0, os.MkdirAll(dir, 0o755))(t)
	b.run(mkfs, "-q", "-m", "single", b.image)
	b.mount()
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return b
}

func (b *btrfs) run(args ...string) {
	b.t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		b.t.Fatalf("%q: %v\n%s", args, err, out)
	}
}

func (b *btrfs) mount() {
	b.t.Helper()
	if out, err := exec.Command("mount", "-o", "loop", b.image, b.dir).CombinedOutput(); err != nil {
		needs.Missing(b.t, "no btrfs can be mounted: %v: %s", err, out)
	}
}

// damage changes one byte of the disk, where the marker lies.
func (b *btrfs) damage(marker []byte) {
	b.t.Helper()
	// What is forked at this moment holds what is open until it runs its program.
	eventually(b.t, "nobody uses "+b.dir, func() bool { return unix.Unmount(b.dir, 0) == nil })
	all := must(os.ReadFile(b.image))(b.t)
	if bytes.Count(all, marker) != 1 {
		b.t.Fatalf("the marker is %d times on the disk", bytes.Count(all, marker))
	}
	f := must(os.OpenFile(b.image, os.O_RDWR, 0))(b.t)
	defer f.Close()
	must(f.WriteAt([]byte{^marker[0]}, int64(bytes.Index(all, marker))))(b.t)
	b.mount()
}

// The quota of the destination is used up: DEST_QUOTA, exit 8, at once; what fits is
// there, and with more quota the same command goes on.
func TestP6DestinationHasAQuota(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2)
	src, disk := filepath.Join(f.daemons[0].data, "src"), filepath.Join(f.daemons[1].data, "disk")
	b := newBtrfs(t, disk)
	tool, sub := needs.Program(t, "btrfs"), filepath.Join(disk, "sub")
	b.run(tool, "quota", "enable", disk)
	b.run(tool, "subvolume", "create", sub)
	b.run(tool, "qgroup", "limit", "8M", sub)
	tree := newTree(t, src)
	tree.file("fits", 1<<20)
	tree.file("large", 24<<20)

	tr := c.transfer(t, 8, "cp", "n1:"+src, "n2:"+sub+"/")
	if got := strings.Join(reasonsOf(tr), " "); !strings.Contains(got, "DEST_QUOTA") || strings.Contains(got, "DEST_NO_SPACE") {
		t.Errorf("reasons %v", got)
	}
	if tr.GetState() != xferv1.State_STATE_PARTIALLY_SUCCEEDED || tr.GetCounters().GetAttempts() != 1 {
		t.Errorf("%s after %d attempts", tr.GetState(), tr.GetCounters().GetAttempts())
	}
	if want, got := must(digest(filepath.Join(src, "fits")))(t), must(digest(filepath.Join(sub, "src/fits")))(t); want != got {
		t.Error("what fits is not equal")
	}
	if _, err := os.Lstat(filepath.Join(sub, "src/large")); !os.IsNotExist(err) {
		t.Errorf("the large file is there: %v", err)
	}
	noTemps(t, sub)
	b.run(tool, "qgroup", "limit", "none", sub)
	c.ok(t, "cp", "n1:"+src, "n2:"+sub+"/")
	equal(t, src, filepath.Join(sub, "src"))
}

// The disk of the source gives back other bytes than were written, which its file system
// notices in the middle of a file: that file alone fails, after one more try.
func TestSourceDiskIsDamaged(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2)
	disk, dst := filepath.Join(f.daemons[0].data, "disk"), filepath.Join(f.daemons[1].data, "dst")
	b := newBtrfs(t, disk)
	src := filepath.Join(disk, "src")
	tree := newTree(t, src)
	tree.file("bad", 8<<20)
	tree.file("good", 3<<20)
	for _, name := range []string{"1", "2", "3"} {
		tree.file("small/"+name, 3000)
	}
	marker := []byte("here the disk is damaged, in the middle of a file")
	bad := must(os.OpenFile(filepath.Join(src, "bad"), os.O_WRONLY, 0))(t)
	must(bad.WriteAt(marker, 5<<20))(t)
	must(0, bad.Close())(t)
	b.damage(marker)

	tr := c.transfer(t, 5, "cp", "--chunk-size", "1MiB", "n1:"+src, "n2:"+dst)
	if got := reasonsOf(tr); slices.ContainsFunc(got, func(r string) bool { return r != "SOURCE_IO_ERROR" }) {
		t.Errorf("reasons %v", got)
	}
	if text := tr.GetError().GetMessage(); !strings.Contains(text, "at offset 5242880") {
		t.Errorf("it is told as %q", text)
	}
	if n := tr.GetCounters(); tr.GetState() != xferv1.State_STATE_PARTIALLY_SUCCEEDED || n.GetAttempts() != 1 || n.GetFilesFailed() != 1 || n.GetFilesCopied() != 4 {
		t.Errorf("%s: %v", tr.GetState(), n)
	}
	if _, err := os.Lstat(filepath.Join(dst, "bad")); !os.IsNotExist(err) {
		t.Errorf("the damaged file is there: %v", err)
	}
	noTemps(t, dst)
	must(0, os.Remove(filepath.Join(src, "bad")))(t)
	tree.file("bad", 8<<20)
	c.ok(t, "cp", "n1:"+src, "n2:"+dst)
	equal(t, src, dst)
}
