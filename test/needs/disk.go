package needs

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Disk mounts a fresh file system of so many MiB, "ext4" or "xfs", on a loop device,
// and returns where. Direct I/O works there, whatever the tests' own directory is on.
// It is gone at the end of the test.
func Disk(t testing.TB, kind string, mib int64) string {
	t.Helper()
	Root(t)
	mkfs := Program(t, "mkfs."+kind)
	dir := t.TempDir()
	file, mnt := filepath.Join(dir, "image"), filepath.Join(dir, "mnt")
	img, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(img.Truncate(mib<<20), img.Close(), os.Mkdir(mnt, 0o755)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs, "-q", file).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", mkfs, err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", file, mnt).CombinedOutput(); err != nil {
		Missing(t, "a loop device cannot be mounted: %v, %s", err, out)
	}
	t.Cleanup(func() {
		// Exports keep their roots open until the garbage collector comes.
		if err := unix.Unmount(mnt, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", mnt, err)
		}
	})
	return mnt
}

// Tmpfs mounts an empty file system in memory with these options (size=4m), and
// returns where. It is gone at the end of the test.
func Tmpfs(t testing.TB, options string) string {
	t.Helper()
	Root(t)
	dir := t.TempDir()
	TmpfsAt(t, dir, options)
	return dir
}

// TmpfsAt is Tmpfs on a directory that is there.
func TmpfsAt(t testing.TB, dir, options string) {
	t.Helper()
	Root(t)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		Missing(t, "a tmpfs cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// Direct returns a directory where files can be read and written past the page cache:
// one of the test's own where its file system can, else one on a Disk.
func Direct(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if takesDirect(dir) {
		return dir
	}
	return Disk(t, "ext4", 64)
}

func takesDirect(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, "direct"), os.O_CREATE|os.O_WRONLY|unix.O_DIRECT, 0o600)
	if err != nil {
		return false
	}
	defer f.Close()
	var st unix.Statfs_t
	return errors.Join(unix.Fstatfs(int(f.Fd()), &st), os.Remove(f.Name())) == nil && (st.Type == unix.EXT4_SUPER_MAGIC || st.Type == unix.XFS_SUPER_MAGIC)
}
