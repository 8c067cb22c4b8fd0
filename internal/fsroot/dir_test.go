package fsroot

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestNames(t *testing.T) {
	eachFS(t, func(t *testing.T, dir string) {
		d := openTop(t, export(t, dir))
		buf := make([]byte, 16)
		for _, name := range oddNames {
			f, err := d.Create(name, 0o600)
			must(t, err)
			must(t, f.Pwrite([]byte(name[:1]), 0))
			must(t, f.Close())
			_, err = d.Create(name, 0o600)
			wantErr(t, "Create again", err, unix.EEXIST)
			n, info, err := d.ReadSmall(name, buf)
			if err != nil || string(buf[:n]) != name[:1] || info.Size != 1 {
				t.Errorf("ReadSmall(%q) = %d, %v, %v", name, n, info, err)
			}
			if i, err := d.Lstat(name); err != nil || i.Ino != info.Ino {
				t.Errorf("Lstat(%q) = %v, %v", name, i, err)
			}
			must(t, d.Rename(name, d, "x", false))
			must(t, d.Mkdir(name, 0o700))
			sub, err := d.OpenDir(name)
			must(t, err)
			must(t, sub.Close())
			must(t, d.Rmdir(name))
			must(t, d.Link(d, "x", name))
			must(t, d.Unlink(name))
			must(t, d.Symlink(name, name))
			if target, err := d.Readlink(name); err != nil || target != name {
				t.Errorf("Readlink(%q) = %q, %v", name, target, err)
			}
			must(t, d.RemoveAll(name))
		}
	})
}

func TestBadNames(t *testing.T) {
	d, dir := top(t)
	write(t, dir+"/ok", "x")
	buf := make([]byte, 8)
	second := func(_ any, err error) error { return err }
	third := func(_ int, _ Info, err error) error { return err }
	for _, bad := range badNames {
		for op, err := range map[string]error{
			"Lstat":           second(d.Lstat(bad)),
			"OpenDir":         second(d.OpenDir(bad)),
			"Open":            second(d.Open(bad)),
			"OpenWrite":       second(d.OpenWrite(bad)),
			"Create":          second(d.Create(bad, 0o600)),
			"ReadSmall":       third(d.ReadSmall(bad, buf)),
			"Mkdir":           d.Mkdir(bad, 0o700),
			"Symlink":         d.Symlink("t", bad),
			"Readlink":        second(d.Readlink(bad)),
			"Link":            d.Link(d, "ok", bad),
			"Link from":       d.Link(d, bad, "new"),
			"Mknod":           d.Mknod(bad, FIFO, 0o600, 0),
			"Rename":          d.Rename("ok", d, bad, false),
			"Rename from":     d.Rename(bad, d, "new", true),
			"Unlink":          d.Unlink(bad),
			"Rmdir":           d.Rmdir(bad),
			"RemoveAll":       d.RemoveAll(bad),
			"SetMetaAt":       d.SetMetaAt(bad, Meta{Set: SetMtime}),
			"FollowStat":      second(d.FollowStat(bad)),
			"FollowOpen":      second(d.FollowOpen(bad)),
			"FollowDir":       second(d.FollowDir(bad)),
			"FollowReadSmall": third(d.FollowReadSmall(bad, buf)),
		} {
			var p *PathError
			if !errors.Is(err, ErrBadPath) || !errors.As(err, &p) {
				t.Errorf("%s(%.20q): %v", op, bad, err)
			}
		}
	}
}

func TestNotRegularNeverBlocks(t *testing.T) {
	d, dir := top(t)
	must(t, d.Mknod("fifo", FIFO, 0o600, 0))
	must(t, d.Mknod("socket", Socket, 0o600, 0))
	must(t, d.Mkdir("dir", 0o700))
	must(t, d.Symlink("/etc/passwd", "out"))
	must(t, d.Symlink("fifo", "to fifo"))
	kinds := map[string]error{"fifo": unix.ENXIO, "socket": unix.ENXIO, "dir": unix.EISDIR, "out": unix.ELOOP}
	if os.Getuid() == 0 {
		must(t, d.Mknod("null", CharDev, 0o600, unix.Mkdev(1, 3)))
		kinds["null"] = unix.ENXIO
		info, err := d.Lstat("null")
		if err != nil || info.Kind != CharDev || info.Rdev != unix.Mkdev(1, 3) {
			t.Errorf("Lstat(null) = %+v, %v", info, err)
		}
	}
	buf := make([]byte, 8)
	for name, errno := range kinds {
		_, err := d.Open(name)
		wantErr(t, "Open "+name, err, ErrNotRegular)
		wantErr(t, "Open "+name, err, errno)
		_, err = d.OpenWrite(name)
		wantErr(t, "OpenWrite "+name, err, ErrNotRegular)
		_, _, err = d.ReadSmall(name, buf)
		wantErr(t, "ReadSmall "+name, err, ErrNotRegular)
	}
	for _, name := range []string{"fifo", "to fifo", "dir", "socket"} {
		_, err := d.FollowOpen(name)
		wantErr(t, "FollowOpen "+name, err, ErrNotRegular)
		_, _, err = d.FollowReadSmall(name, buf)
		wantErr(t, "FollowReadSmall "+name, err, ErrNotRegular)
	}
	// What is in a FIFO stays in it.
	w, err := os.OpenFile(dir+"/fifo", os.O_RDWR, 0)
	must(t, err)
	defer w.Close()
	_, err = w.WriteString("kept")
	must(t, err)
	_, _, err = d.ReadSmall("fifo", buf)
	wantErr(t, "ReadSmall of a full FIFO", err, ErrNotRegular)
	if n, err := w.Read(buf); err != nil || string(buf[:n]) != "kept" {
		t.Errorf("the FIFO has %q, %v", buf[:n], err)
	}
	wantErr(t, "Mknod of a directory", d.Mknod("new", Directory, 0o700, 0), unix.EINVAL)
}

func TestReadSmall(t *testing.T) {
	d, dir := top(t)
	for _, size := range []int{0, 1, 99, 100, 101, 1000} {
		write(t, dir+"/f", strings.Repeat("x", size))
		buf := make([]byte, 100)
		n, info, err := d.ReadSmall("f", buf)
		if want := min(size, 100); n != want || err != nil || info.Size != int64(size) || info.Kind != Regular {
			t.Errorf("size %d: ReadSmall = %d, %+v, %v", size, n, info, err)
		}
	}
	// The size of such a file is 0 whatever it holds.
	if proc, err := OpenExports([]Export{{"/proc", ReadOnly}}); err == nil {
		r, rel, _ := proc.Resolve("/proc/sys/kernel", false)
		k, err := r.OpenDir(rel)
		must(t, err)
		defer k.Close()
		if n, _, err := k.ReadSmall("ostype", make([]byte, 100)); n == 0 || err != nil {
			t.Errorf("ostype: %d, %v", n, err)
		}
	}
}

func TestRename(t *testing.T) {
	d, dir := top(t)
	must(t, d.Mkdir("sub", 0o700))
	sub, err := d.OpenDir("sub")
	must(t, err)
	defer sub.Close()
	write(t, dir+"/a", "a")
	write(t, dir+"/sub/b", "b")
	wantErr(t, "noReplace over a file", d.Rename("a", sub, "b", true), unix.EEXIST)
	must(t, d.Symlink("nowhere", "dangling"))
	wantErr(t, "noReplace over a dangling link", d.Rename("a", d, "dangling", true), unix.EEXIST)
	if b, _ := os.ReadFile(dir + "/sub/b"); string(b) != "b" {
		t.Errorf("b is now %q", b)
	}
	must(t, d.Rename("a", sub, "c", true))
	must(t, sub.Rename("c", sub, "b", false))
	if b, _ := os.ReadFile(dir + "/sub/b"); string(b) != "a" || exists(dir+"/a") {
		t.Errorf("b is now %q", b)
	}
	wantErr(t, "missing", d.Rename("none", d, "x", false), unix.ENOENT)
	wantErr(t, "into itself", d.Rename("sub", sub, "x", true), unix.EINVAL)
}

func TestSetMeta(t *testing.T) {
	d, dir := top(t)
	when := time.Date(1950, 2, 3, 4, 5, 6, 789, time.UTC).UnixNano()
	all := Meta{Set: SetPerm | SetOwner | SetGroup | SetMtime, Perm: 0o6751, UID: 12, GID: 34, Mtime: when}
	if os.Getuid() != 0 {
		all.UID, all.GID = uint32(os.Getuid()), uint32(os.Getgid())
	}
	check := func(what string, info Info, err error) {
		t.Helper()
		if err != nil || info.UID != all.UID || info.GID != all.GID || info.Mtime != when || info.Kind != Symlink && info.Perm != all.Perm {
			t.Errorf("%s: %+v, %v", what, info, err)
		}
	}
	f, err := d.Create("f", 0o600)
	must(t, err)
	defer f.Close()
	must(t, f.SetMeta(all))
	info, err := f.Info()
	check("file", info, err)

	must(t, d.Mkdir("dir", 0o700))
	sub, err := d.OpenDir("dir")
	must(t, err)
	defer sub.Close()
	must(t, sub.SetMeta(all))
	info, err = sub.Info()
	check("directory", info, err)

	write(t, dir+"/target", "")
	before, _ := d.Lstat("target")
	must(t, d.Symlink("target", "link"))
	must(t, d.SetMetaAt("link", all))
	info, err = d.Lstat("link")
	check("link", info, err)
	if after, _ := d.Lstat("target"); after != before {
		t.Errorf("the target of the link changed: %+v, %+v", before, after)
	}
	must(t, d.Mknod("fifo", FIFO, 0o600, 0))
	must(t, d.SetMetaAt("fifo", all))
	info, err = d.Lstat("fifo")
	check("fifo", info, err)
	// Nothing set is nothing done.
	must(t, d.SetMetaAt("fifo", Meta{Perm: 0, Mtime: 1}))
	info, err = d.Lstat("fifo")
	check("fifo again", info, err)
}

func TestReferences(t *testing.T) {
	d, _ := top(t)
	must(t, d.Mkdir("sub", 0o700))
	sub, err := d.OpenDir("sub")
	must(t, err)
	again := sub.Retain()
	must(t, sub.Close())
	if _, err := again.Info(); err != nil {
		t.Errorf("closed too early: %v", err)
	}
	must(t, again.Close())
	wantErr(t, "third Close", sub.Close(), fs.ErrClosed)
	if _, err := sub.Info(); err == nil {
		t.Error("usable after the last Close")
	}
}

func TestSyncAndStatfs(t *testing.T) {
	eachFS(t, func(t *testing.T, dir string) {
		d := openTop(t, export(t, dir))
		f, err := d.Create("f", 0o600)
		must(t, err)
		must(t, f.Pwrite([]byte("x"), 0))
		must(t, f.SyncData())
		must(t, f.Sync())
		must(t, f.Close())
		must(t, d.Sync())
		must(t, d.SyncFS())
		s, err := d.Statfs()
		if err != nil || s.Total <= 0 || s.FreeBytes <= 0 || s.FreeBytes > s.Total || s.Type == 0 {
			t.Errorf("Statfs() = %+v, %v", s, err)
		}
	})
}
