package fsroot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFollow(t *testing.T) {
	base := t.TempDir()
	dir := base + "/data"
	write(t, base+"/outside/secret", "secret")
	write(t, base+"/data2/file", "secret")
	write(t, dir+"/a/file", "file")
	write(t, dir+"/a/sub/x", "x")
	links := map[string]string{
		"a/here":     "file",
		"a/up":       "../a/file",
		"a/abs":      dir + "/a/file",
		"a/chain":    "chain2",
		"a/chain2":   dir + "/a/chain3",
		"a/chain3":   "../top",
		"top":        dir + "/./a/../a/here",
		"a/dir":      "sub",
		"a/dir abs":  dir + "/a/sub",
		"a/dir up":   "../a/sub",
		"a/root":     dir,
		"a/parent":   "..",
		"a/out":      base + "/outside/secret",
		"a/out rel":  "../../outside/secret",
		"a/out link": dir + "/a/out",
		"a/out dots": dir + "/a/../../outside/secret",
		"a/prefix":   dir + "2/file",
		"a/loop":     "loop",
		"a/loop abs": dir + "/a/loop abs",
		"a/dangling": dir + "/a/none",
		"a/magic":    "/proc/self/fd/0",
	}
	for name, target := range links {
		must(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	r := export(t, dir)
	d, err := r.OpenDir("a")
	must(t, err)
	defer d.Close()
	file, err := d.Lstat("file")
	must(t, err)
	sub, err := d.Lstat("sub")
	must(t, err)
	all, err := r.Stat("")
	must(t, err)
	tests := []struct {
		name string
		want Info
		err  error
	}{
		{name: "file", want: file}, {name: "here", want: file}, {name: "up", want: file},
		{name: "abs", want: file}, {name: "chain", want: file},
		{name: "sub", want: sub}, {name: "dir", want: sub}, {name: "dir abs", want: sub},
		{name: "dir up", want: sub}, {name: "root", want: all}, {name: "parent", want: all},
		{name: "out", err: ErrEscapes}, {name: "out rel", err: ErrEscapes}, {name: "out link", err: ErrEscapes},
		{name: "out dots", err: ErrEscapes}, {name: "prefix", err: ErrEscapes}, {name: "magic", err: ErrEscapes},
		{name: "loop", err: unix.ELOOP}, {name: "loop abs", err: unix.ELOOP},
		{name: "dangling", err: unix.ENOENT}, {name: "none", err: unix.ENOENT},
	}
	buf := make([]byte, 10)
	for _, tt := range tests {
		got, err := d.FollowStat(tt.name)
		if !errors.Is(err, tt.err) || err == nil && got.Ino != tt.want.Ino {
			t.Errorf("FollowStat(%q) = %+v, %v, want %+v, %v", tt.name, got, err, tt.want, tt.err)
		}
		wantFile, wantDir := tt.err, tt.err
		if tt.err == nil && tt.want.Kind == Directory {
			wantFile = ErrNotRegular
		} else if tt.err == nil {
			wantDir = unix.ENOTDIR
		}
		n, _, err := d.FollowReadSmall(tt.name, buf)
		if !errors.Is(err, wantFile) || err == nil && string(buf[:n]) != "file" {
			t.Errorf("FollowReadSmall(%q) = %q, %v, want %v", tt.name, buf[:n], err, wantFile)
		}
		f, err := d.FollowOpen(tt.name)
		wantErr(t, "FollowOpen "+tt.name, err, wantFile)
		if err == nil {
			if info, err := f.Info(); err != nil || info.Ino != tt.want.Ino {
				t.Errorf("FollowOpen(%q) is another file: %v", tt.name, err)
			}
			f.Close()
		}
		if tt.err == unix.ELOOP {
			_, err := d.FollowOpen(tt.name)
			if errors.Is(err, ErrNotRegular) {
				t.Errorf("a loop counts as not regular: %v", err)
			}
		}
		sub, err := d.FollowDir(tt.name)
		wantErr(t, "FollowDir "+tt.name, err, wantDir)
		if err == nil {
			if info, err := sub.Info(); err != nil || info.Ino != tt.want.Ino {
				t.Errorf("FollowDir(%q) is another directory: %v", tt.name, err)
			}
			sub.Close()
		}
	}
	// From a directory that was reached by a link, its links mean what they mean
	// to the kernel.
	via, err := d.FollowDir("dir abs")
	must(t, err)
	defer via.Close()
	must(t, os.Symlink("../file", dir+"/a/sub/back"))
	must(t, os.Symlink("../abs", dir+"/a/sub/back abs"))
	for _, name := range []string{"back", "back abs"} {
		if got, err := via.FollowStat(name); err != nil || got.Ino != file.Ino {
			t.Errorf("FollowStat(%q) behind a link: %+v, %v", name, got, err)
		}
	}
}

func TestFollowCountsHops(t *testing.T) {
	for _, style := range []string{"", "abs"} {
		d, dir := top(t)
		write(t, dir+"/l0", "end")
		for i := 1; i <= 45; i++ {
			target := fmt.Sprintf("l%d", i-1)
			if style == "abs" {
				target = dir + "/" + target
			}
			must(t, d.Symlink(target, fmt.Sprintf("l%d", i)))
		}
		_, err := d.FollowStat("l40")
		wantErr(t, "40 links "+style, err, nil)
		_, err = d.FollowStat("l41")
		wantErr(t, "41 links "+style, err, unix.ELOOP)
	}
}

func TestFollowLeaksNothing(t *testing.T) {
	d, dir := top(t)
	write(t, dir+"/f", "f")
	must(t, d.Mkdir("sub", 0o755))
	for name, target := range map[string]string{"abs": dir + "/f", "out": "/etc/passwd", "loop": "loop", "dir": dir + "/sub", "fifo link": dir + "/fifo"} {
		must(t, d.Symlink(target, name))
	}
	must(t, d.Mknod("fifo", FIFO, 0o600, 0))
	before := openFDs(t)
	buf := make([]byte, 4)
	for range 20 {
		for _, name := range []string{"f", "abs", "out", "loop", "dir", "fifo", "fifo link", "sub", "none"} {
			d.FollowStat(name)
			d.FollowReadSmall(name, buf)
			d.ReadSmall(name, buf)
			d.Root().Stat(name)
			if f, err := d.FollowOpen(name); err == nil {
				f.Close()
			}
			if f, err := d.Open(name); err == nil {
				f.Close()
			}
			if sub, err := d.FollowDir(name); err == nil {
				sub.Close()
			}
		}
		d.RemoveAll("none")
	}
	// Fewer is fine: the collector closes the roots of other tests.
	if after := openFDs(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
