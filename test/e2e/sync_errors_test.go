package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/test/needs"
)

// thinDisk mounts an ext4 at dir whose image lies on a tmpfs that is smaller: the file
// system takes what its disk has no room for, and a sync is the first to tell. grow
// gives the disk its room, and is where the file system comes back after it.
func thinDisk(t *testing.T, dir, image, room string) (grow func()) {
	t.Helper()
	needs.Root(t)
	mkfs, mount := needs.Program(t, "mkfs.ext4"), needs.Program(t, "mount")
	backing := newDir(t)
	small(t, backing, "size="+room)
	file := filepath.Join(backing, "image")
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			needs.Missing(t, "no loop device with an ext4: %s: %s", name, strings.TrimSpace(string(out)))
		}
	}
	run("truncate", "-s", image, file)
	run(mkfs, "-q", "-F", "-b", "4096", file)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	run(mount, "-o", "loop", file, dir)
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return func() {
		t.Helper()
		if err := unix.Mount("tmpfs", backing, "tmpfs", unix.MS_REMOUNT, "size=256m"); err != nil {
			t.Fatal(err)
		}
		// What was forked at this moment holds what is open until it runs its program.
		eventually(t, "nobody uses "+dir, func() bool { return unix.Unmount(dir, 0) == nil })
		run(mount, "-o", "loop", file, dir)
	}
}

// The disk does not have the room that the file system says it has: writes are taken,
// the first sync fails, and a later one would not. No file is told to be there that is
// not, and after the disk has been mended the same command brings the rest.
func TestP1P2SyncFailsAndThenDoesNot(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2)
	src, disk := filepath.Join(f.daemons[0].data, "src"), filepath.Join(f.daemons[1].data, "disk")
	grow := thinDisk(t, disk, "96M", "24m")
	tree := newTree(t, src)
	tree.file("a/large", 24<<20) // past the page cache
	tree.file("b/large", 12<<20) // by way of it
	for _, name := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"} {
		tree.file("small/"+name, 3000)
	}
	r := c.run(t, "cp", "n1:"+src, "n2:"+disk+"/dst", "-o", "json")
	end, err := endEvent(r.stdout)
	if err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	tr := c.get(t, end["name"].(string))
	if tr.GetState() == xferv1.State_STATE_SUCCEEDED || r.code == 0 {
		t.Errorf("what is not there was told to be: %s", r)
	}
	for _, x := range tr.GetFailures() {
		if reason := x.GetError().GetReason(); !slices.Contains([]string{"DEST_IO_ERROR", "DEST_NO_SPACE", "DEST_READ_ONLY"}, reason) {
			t.Errorf("%s failed for %s", x.GetPath(), reason)
		}
	}
	grow() // what the page cache had is gone with it
	there := int64(0)
	for path, want := range must(survey(src, nil))(t) {
		if want.kind != unix.S_IFREG {
			continue
		}
		got, err := look(filepath.Join(disk, "dst", path))
		if err == nil {
			there++
		}
		if err == nil && got.digest != want.digest {
			t.Errorf("%s is there and has other bytes", path)
		}
	}
	if n := tr.GetCounters().GetFilesCopied(); n > there {
		t.Errorf("%d files were told to be there, and %d are", n, there)
	}
	// The removal of a temporary file may have been lost with the rest. The transfer is
	// over, and nobody looks for it any more.
	for _, path := range must(temps(disk))(t) {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
	c.ok(t, "cp", "n1:"+src, "n2:"+disk+"/dst")
	equal(t, src, filepath.Join(disk, "dst"))
}

// Many small files are synced in batches, each with one sync of the file system. The one
// that asks first is told of the error of another's file, which then is the only one that
// does not know. It is asked by itself.
func TestP1P2SyncOfABatchTakesTheErrorOfAnother(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2)
	src, disk := filepath.Join(f.daemons[0].data, "src"), filepath.Join(f.daemons[1].data, "disk")
	const files, size, room = 1500, 20000, 6 << 20
	full, grow := fullDisk(t, disk, files)
	tree := newTree(t, src)
	for i := range files {
		tree.file(fmt.Sprintf("f%d", i), size)
	}
	full(room)
	r := c.run(t, "cp", "n1:"+src, "n2:"+disk+"/dst", "-o", "json")
	end, err := endEvent(r.stdout)
	if err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	tr := c.get(t, end["name"].(string))
	if tr.GetState() == xferv1.State_STATE_SUCCEEDED || r.code == 0 {
		t.Errorf("%d files of %d bytes were told to be on a disk of %d", files, size, room)
	}
	grow()
	there, bad := int64(0), 0
	for path, want := range must(survey(src, nil))(t) {
		if want.kind != unix.S_IFREG {
			continue
		}
		if got, err := look(filepath.Join(disk, "dst", path)); err == nil {
			if there++; got.digest != want.digest {
				bad++
			}
		}
	}
	if n := tr.GetCounters().GetFilesCopied(); bad > 0 || n > there {
		t.Errorf("%d files were told to be there, %d are, and %d of them have other bytes", n, there, bad)
	}
}

// fullDisk mounts an ext4 as thinDisk does, whose own blocks and those of a directory
// dst with n names are on the disk already. full leaves room for so many bytes more. The
// disk takes a page at a time: the driver tells no error of a request that it could do a
// part of.
func fullDisk(t *testing.T, dir string, n int) (full func(room int64), grow func()) {
	t.Helper()
	needs.Root(t)
	mkfs, mount := needs.Program(t, "mkfs.ext4"), needs.Program(t, "mount")
	backing := newDir(t)
	small(t, backing, "size=300m")
	file := filepath.Join(backing, "image")
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			needs.Missing(t, "no loop device with an ext4: %s: %s", name, strings.TrimSpace(string(out)))
		}
	}
	run("truncate", "-s", "120M", file)
	run(mkfs, "-q", "-F", "-b", "4096", "-N", "16384", "-J", "size=4", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", file)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	run(mount, "-o", "loop", file, dir)
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	queue := fmt.Sprintf("/sys/dev/block/%d:%d/queue/max_sectors_kb", unix.Major(st.Dev), unix.Minor(st.Dev))
	if err := os.WriteFile(queue, []byte("4"), 0); err != nil {
		needs.Missing(t, "a loop device cannot be told to take a page at a time: %v", err)
	}
	sync := func() {
		d, err := os.Open(dir)
		if err == nil {
			err = unix.Syncfs(int(d.Fd()))
			d.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	laid := filepath.Join(dir, "laid")
	if err := os.Mkdir(laid, 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 { // twice: the journal goes round
		for i := range 3 * n { // as long as the names of temporary files are
			if err := os.WriteFile(filepath.Join(laid, fmt.Sprintf(".xferd.c74754830645745fd6546fb1dee04d1c.1.9ac6f714a9eb8d2%d", i)), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		sync()
		for _, e := range must(os.ReadDir(laid))(t) {
			if err := os.Remove(filepath.Join(laid, e.Name())); err != nil {
				t.Fatal(err)
			}
		}
		sync()
	}
	if err := os.Rename(laid, filepath.Join(dir, "dst")); err != nil {
		t.Fatal(err)
	}
	sync()
	full = func(room int64) {
		t.Helper()
		var st unix.Statfs_t
		if err := unix.Statfs(backing, &st); err != nil {
			t.Fatal(err)
		}
		size := int64(st.Blocks-st.Bfree)*st.Bsize + room
		if err := unix.Mount("tmpfs", backing, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d", size)); err != nil {
			t.Fatal(err)
		}
	}
	return full, func() {
		t.Helper()
		if err := unix.Mount("tmpfs", backing, "tmpfs", unix.MS_REMOUNT, "size=300m"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "nobody uses "+dir, func() bool { return unix.Unmount(dir, 0) == nil })
		run(mount, "-o", "loop", file, dir)
	}
}

// A sync of a file that fails is not tried again: its temporary file goes, whatever a
// second sync would have said, and all bytes are sent once more into another one.
func TestP2SyncIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2)
	src, dst := filepath.Join(f.daemons[0].data, "src"), filepath.Join(f.daemons[1].data, "dst")
	newTree(t, src).file("large", 12<<20)
	newTree(t, dst).file("large", 100)
	name := c.detach(t, "cp", "--bwlimit", "4MiB", "--chunk-size", "1MiB", "n1:"+src, "n2:"+dst)
	c.landed(t, name, 2<<20)
	temp := slices.DeleteFunc(must(temps(dst))(t), func(path string) bool { return strings.HasSuffix(path, ".in") }) // the mark
	if len(temp) != 1 {
		t.Fatalf("temporary files %q", temp)
	}
	// From then on there is its name for strace to go by. The first sync of each thread
	// fails, all that follow do not.
	stop := traceCalls(t, f.daemons[1].pid(), "-y", "-P", temp[0], "-e", "trace=fsync,fdatasync,syncfs", "-e", "inject=fsync,fdatasync,syncfs:error=EIO:when=1")
	tr := c.waitOver(t, name)
	trace := string(must(os.ReadFile(stop()))(t))
	if n := len(regexp.MustCompile(`(?m)sync\w*\(`).FindAllString(trace, -1)); n != 1 || !strings.Contains(trace, "INJECTED") {
		t.Errorf("the file was synced %d times, once with an error:\n%s", n, trace)
	}
	if tr.GetState() != xferv1.State_STATE_SUCCEEDED {
		t.Errorf("%s, reasons %v", tr.GetState(), reasonsOf(tr))
	}
	if moved := tr.GetCounters().GetBytesMoved()["tcp"]; moved < 2*12<<20 {
		t.Errorf("%d bytes were moved: not all of them twice", moved)
	}
	if log := f.daemons[1].stderr.String(); !strings.Contains(log, "the file system of a destination fails") || !strings.Contains(log, "takes data again") {
		t.Error("the log does not tell of the file system")
	}
	noTemps(t, dst)
	equal(t, src, dst)
}

// A node whose state cannot be synced takes nothing more and ends, with 74. As the owner
// it does not accept what it cannot keep; as the target it is waited for. What was
// accepted goes on after a restart.
func TestP3StateCannotBeSynced(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		node int
	}{{"Owner", 0}, {"Target", 1}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, f := useFarm(t, 2)
			src, dst := filepath.Join(f.daemons[0].data, "src"), filepath.Join(f.daemons[1].data, "dst")
			newTree(t, src).file("large", 8<<20)
			before := c.detach(t, "cp", "--bwlimit", "2MiB", "--chunk-size", "1MiB", "n1:"+src, "n2:"+dst)
			c.landed(t, before, 2<<20)
			d := f.daemons[test.node]
			db := filepath.Join(f.dir, d.name, "state", "state.db")
			if _, err := os.Stat(db); err != nil {
				t.Fatal(err)
			}
			stop := traceCalls(t, d.pid(), "-P", db, "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO")
			second := []string{"cp", "--id", "second", "n1:" + src, "n2:" + dst + "2"}
			r := c.run(t, append(second, "--detach")...)
			code, err := d.wait()
			trace := string(must(os.ReadFile(stop()))(t))
			if !strings.Contains(trace, "INJECTED") {
				t.Fatalf("no sync failed\n%s", trace)
			}
			if err != nil || code != 74 || !strings.Contains(d.stderr.String(), "state can no longer be written") {
				t.Errorf("it ended with %d, %v", code, err)
			}
			if want := map[int]int{0: 10, 1: 0}[test.node]; r.code != want {
				t.Errorf("the owner answers with %s, want exit %d", r, want)
			}
			if err := f.up(d); err != nil {
				t.Fatal(err)
			}
			c.waitOver(t, before)
			equal(t, src, dst)
			noTemps(t, dst)
			eventually(t, "the second one can be had", func() bool { return c.run(t, second...).code == 0 })
			equal(t, src, dst+"2")
		})
	}
}
