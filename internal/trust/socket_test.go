package trust

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestListenUnix(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "run", "s.sock")
	group := ""
	if os.Geteuid() == 0 {
		group = "54321"
	}
	l, err := ListenUnix(path, group)
	if err != nil {
		t.Fatal(err)
	}
	for p, mode := range map[string]uint32{path: 0o660, filepath.Dir(path): 0o750} {
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			t.Fatal(err)
		}
		if st.Mode&0o7777 != mode || group != "" && st.Gid != 54321 {
			t.Errorf("%s: mode %o, group %d", p, st.Mode&0o7777, st.Gid)
		}
	}
	if _, err := ListenUnix(path, ""); !errors.Is(err, ErrSocketInUse) {
		t.Errorf("second listener: %v", err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	if l, err = ListenUnix(path, ""); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	other, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	other.SetUnlinkOnClose(false)
	if _, err := ListenUnix(path, ""); !errors.Is(err, ErrSocketInUse) {
		t.Errorf("somebody answers: %v", err)
	}
	if err := other.Close(); err != nil { // as after kill -9
		t.Fatal(err)
	}
	l, err := ListenUnix(path, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestListenUnixRefusals(t *testing.T) {
	dir := t.TempDir()
	file, open := filepath.Join(dir, "file"), filepath.Join(dir, "open")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ path, group, want string }{
		"relative":     {"s", "", "must be absolute"},
		"long":         {"/tmp/" + strings.Repeat("x", 103), "", "108 bytes, the system's limit is 107"},
		"a file":       {file, "", "something else than a socket"},
		"in a file":    {filepath.Join(file, "s"), "", "not a directory"},
		"no parent":    {filepath.Join(dir, "a/b/s"), "", "no such file"},
		"open to all":  {filepath.Join(open, "s"), "", "written by everybody"},
		"absent group": {filepath.Join(dir, "s"), "no-such-group-x", "no-such-group-x"},
	} {
		l, err := ListenUnix(tc.path, tc.group)
		if err == nil {
			_ = l.Close()
			t.Errorf("%s: no error", name)
		} else if !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the file is gone: %v", err)
	}
}
