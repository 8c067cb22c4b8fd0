package fsroot

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/test/needs"
)

func TestFile(t *testing.T) {
	d, dir := top(t)
	f, err := d.Create("f", 0o640)
	must(t, err)
	defer f.Close()
	must(t, f.Pwrite([]byte("hello world"), 5))
	must(t, f.Pwrite(nil, 1<<40))
	buf := make([]byte, 32)
	n, err := f.Pread(buf, 0)
	if want := "\x00\x00\x00\x00\x00hello world"; err != nil || string(buf[:n]) != want {
		t.Errorf("Pread = %q, %v", buf[:n], err)
	}
	if n, err := f.Pread(buf, 100); n != 0 || err != nil {
		t.Errorf("Pread past the end = %d, %v", n, err)
	}
	must(t, f.Truncate(7))
	if info, err := f.Info(); err != nil || info.Size != 7 {
		t.Errorf("Info() = %+v, %v", info, err)
	}
	o := f.OS()
	if o != f.OS() || int(o.Fd()) != f.Fd() || o.Name() != dir+"/f" {
		t.Error("OS() is not the same descriptor")
	}
	// A file that the poller knew would take a deadline.
	wantErr(t, "SetDeadline", o.SetDeadline(time.Now()), os.ErrNoDeadline)
	must(t, f.Close())
	must(t, f.Close())
	if _, err := o.Stat(); err == nil {
		t.Error("the *os.File is still open")
	}
	w, err := d.OpenWrite("f")
	must(t, err)
	must(t, w.Pwrite([]byte("H"), 5))
	must(t, w.Close())
	if w.OS() != nil {
		t.Error("OS() of a closed file")
	}
	r, err := d.Open("f")
	must(t, err)
	defer r.Close()
	wantErr(t, "OS of an opened file", r.OS().SetDeadline(time.Now()), os.ErrNoDeadline)
	if b, err := os.ReadFile(dir + "/f"); err != nil || string(b) != "\x00\x00\x00\x00\x00He" {
		t.Errorf("the file has %q, %v", b, err)
	}
	var p *PathError
	err = r.Pwrite([]byte("x"), 0)
	if !errors.Is(err, unix.EBADF) || !errors.As(err, &p) || p.Path != dir+"/f" {
		t.Errorf("Pwrite for reading only: %v", err)
	}
}

func TestErrorsQuoteNames(t *testing.T) {
	_, err := OpenExports([]Export{{Path: "/no\n\x1b[31m\xff", Mode: ReadOnly}})
	if want := `export "/no\n\x1b[31m\xff": no such file or directory`; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestUmask(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	SetUmaskZero()
	d, _ := top(t)
	f, err := d.Create("f", 0o666)
	must(t, err)
	defer f.Close()
	if info, err := f.Info(); err != nil || info.Perm != 0o666 {
		t.Errorf("mode %o, %v", info.Perm, err)
	}
}

const block = 64 << 10 // a multiple of any block size that we meet

func TestSparse(t *testing.T) {
	eachFS(t, func(t *testing.T, dir string) {
		d := openTop(t, export(t, dir))
		f, err := d.Create("f", 0o600)
		must(t, err)
		defer f.Close()
		must(t, f.Truncate(10*block))
		for _, i := range []int64{2, 3, 7} {
			must(t, f.Pwrite(bytes.Repeat([]byte("x"), block), i*block))
		}
		if info, err := f.Info(); err != nil || !info.Sparse() {
			t.Errorf("not sparse: %+v, %v", info, err)
		}
		ranges := func(from, to int64) (list []string) {
			t.Helper()
			must(t, f.DataRanges(from, to, func(off, n int64) error {
				list = append(list, fmt.Sprintf("%d+%d", off/block, n/block))
				if off%block != 0 || n%block != 0 {
					t.Errorf("range %d+%d", off, n)
				}
				return nil
			}))
			return list
		}
		for _, tt := range []struct {
			from, to int64
			want     []string
		}{
			{0, 10, []string{"2+2", "7+1"}}, {0, 100, []string{"2+2", "7+1"}}, {3, 10, []string{"3+1", "7+1"}},
			{0, 3, []string{"2+1"}}, {0, 2, nil}, {4, 7, nil}, {8, 10, nil}, {50, 60, nil}, {5, 5, nil}, {7, 8, []string{"7+1"}},
		} {
			if got := ranges(tt.from*block, tt.to*block); !slices.Equal(got, tt.want) {
				t.Errorf("DataRanges(%d, %d) = %v, want %v", tt.from, tt.to, got, tt.want)
			}
		}
		must(t, f.Punch(2*block, block))
		if got := ranges(0, 10*block); !slices.Equal(got, []string{"3+1", "7+1"}) {
			t.Errorf("after Punch: %v", got)
		}
		if info, _ := f.Info(); info.Size != 10*block {
			t.Errorf("Punch changed the size to %d", info.Size)
		}
		stop := errors.New("stop")
		calls := 0
		err = f.DataRanges(0, 10*block, func(int64, int64) error { calls++; return stop })
		if err != stop || calls != 1 {
			t.Errorf("error of yield: %v after %d calls", err, calls)
		}
		must(t, f.Allocate(0, 20*block))
		must(t, f.Allocate(0, 0))
		must(t, f.Punch(0, 0))
		if info, err := f.Info(); err != nil || info.Sparse() || info.Size != 20*block {
			t.Errorf("after Allocate: %+v, %v", info, err)
		}
		must(t, f.allocateSteps(0, allocateStep/4))
		must(t, f.Truncate(20*block))
		if err := f.Allocate(0, 1<<62); !errors.Is(err, unix.EFBIG) && !errors.Is(err, unix.ENOSPC) {
			t.Errorf("Allocate of 4 EiB: %v", err)
		}
	})
}

func TestUnsupported(t *testing.T) {
	e, err := OpenExports([]Export{{"/proc", ReadWrite}})
	if err != nil {
		t.Fatal(err)
	}
	r, rel, err := e.Resolve("/proc/self", true)
	must(t, err)
	d, err := r.OpenDir(rel)
	must(t, err)
	defer d.Close()
	f, err := d.OpenWrite("comm")
	must(t, err)
	defer f.Close()
	wantErr(t, "Allocate", f.Allocate(0, 1), ErrUnsupported)
	wantErr(t, "Punch", f.Punch(0, 1), ErrUnsupported)
	if list, err := f.Xattrs(nil); len(list) != 0 || err != nil {
		t.Errorf("Xattrs() = %v, %v", list, err)
	}
}

func TestXattrs(t *testing.T) {
	eachFS(t, func(t *testing.T, dir string) {
		d := openTop(t, export(t, dir))
		f, err := d.Create("f", 0o600)
		must(t, err)
		defer f.Close()
		if err := f.SetXattr("user.test", nil); errors.Is(err, ErrUnsupported) {
			needs.Missing(t, "no user attributes on %s", dir)
		}
		must(t, d.Mkdir("sub", 0o700))
		sub, err := d.OpenDir("sub")
		must(t, err)
		defer sub.Close()
		acl := []byte{2, 0, 0, 0, // version; then tag, perm, id of each entry
			1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 4, 0, 1, 0, 0, 0,
			4, 0, 5, 0, 255, 255, 255, 255, 16, 0, 5, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255}
		hasACL := unix.Fsetxattr(f.Fd(), "system.posix_acl_access", acl, 0) == nil
		if os.Getuid() == 0 {
			must(t, unix.Fsetxattr(f.Fd(), "trusted.xferd", []byte("t"), 0))
		}
		type target interface {
			Xattrs(func(string) bool) ([]Xattr, error)
			SetXattr(string, []byte) error
			RemoveXattr(string) error
		}
		big := bytes.Repeat([]byte("v"), 1500)
		for what, x := range map[string]target{"file": f, "directory": sub} {
			must(t, x.SetXattr("user.test", []byte("value")))
			must(t, x.SetXattr("user.\xff\xfe", []byte{0, 1, 0}))
			must(t, x.SetXattr("user.big", big))
			must(t, x.SetXattr("user.empty", nil))
			wantErr(t, "SetXattr security", x.SetXattr("security.selinux", nil), ErrXattrName)
			wantErr(t, "SetXattr trusted", x.SetXattr("trusted.overlay.opaque", []byte("y")), unix.EPERM)
			wantErr(t, "RemoveXattr trusted", x.RemoveXattr("trusted.xferd"), ErrXattrName)
			got := map[string]string{}
			list, err := x.Xattrs(nil)
			must(t, err)
			for _, a := range list {
				got[a.Name] = string(a.Value)
			}
			want := map[string]string{"user.test": "value", "user.\xff\xfe": "\x00\x01\x00", "user.big": string(big), "user.empty": ""}
			if hasACL && what == "file" {
				want["system.posix_acl_access"] = string(acl)
			}
			if len(got) != len(want) || len(got) != len(list) {
				t.Errorf("%s: %d attributes %.200q", what, len(list), got)
			}
			for name, value := range want {
				if got[name] != value {
					t.Errorf("%s: %q is %.100q", what, name, got[name])
				}
			}
			list, err = x.Xattrs(func(name string) bool { return name == "user.test" })
			if err != nil || len(list) != 1 || list[0].Name != "user.test" {
				t.Errorf("%s: filtered %v, %v", what, list, err)
			}
			must(t, x.RemoveXattr("user.test"))
			wantErr(t, "RemoveXattr again", x.RemoveXattr("user.test"), unix.ENODATA)
		}
		// More names than the small buffer takes.
		long, err := d.Create("many", 0o600)
		must(t, err)
		defer long.Close()
		made := 0
		for ; made < 30; made++ {
			if long.SetXattr(fmt.Sprintf("user.%0100d", made), []byte("v")) != nil {
				break // a file system with little room for them
			}
		}
		if list, err := long.Xattrs(nil); err != nil || len(list) != made || made < 10 {
			t.Errorf("%d of %d attributes, %v", len(list), made, err)
		}
	})
}
