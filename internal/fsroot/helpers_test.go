package fsroot

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/test/needs"
)

// export opens one directory as a writable export.
func export(t testing.TB, dir string) *Root {
	t.Helper()
	e, err := OpenExports([]Export{{Path: dir, Mode: ReadWrite}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	r, rel, err := e.Resolve(dir, true)
	if err != nil || rel != "" {
		t.Fatalf("Resolve(%q) = %q, %v", dir, rel, err)
	}
	return r
}

// top opens a fresh export and its directory.
func top(t testing.TB) (*Dir, string) {
	t.Helper()
	dir := t.TempDir()
	return openTop(t, export(t, dir)), dir
}

func openTop(t testing.TB, r *Root) *Dir {
	t.Helper()
	d, err := r.OpenDir("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// eachFS runs a test on the file systems that are at hand without mounting.
func eachFS(t *testing.T, test func(t *testing.T, dir string)) {
	t.Helper()
	t.Run("tmp", func(t *testing.T) { test(t, t.TempDir()) })
	t.Run("shm", func(t *testing.T) {
		dir, err := os.MkdirTemp("/dev/shm", "fsroot-test-")
		if err != nil {
			needs.Missing(t, "no tmpfs: %v", err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		test(t, dir)
	})
}

func write(t testing.TB, path, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(content), 0o644))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantErr checks for an error, nil included.
func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

func exists(path string) bool {
	var st unix.Stat_t
	return unix.Lstat(path, &st) == nil
}

func openFDs(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(list)
}

// oddNames are names that the kernel takes and that people trip over.
var oddNames = []string{
	"plain", " ", "-rf", "a b", "new\nline", "tab\t", "\x1b[31mred", "...", "..a", "a..", ".hidden",
	"\xff\xfe", "caf\xc3\xa9", "cafe\xcc\x81", "\xe2\x80\xaertl", "*?[", "'\"\\", "%s%n",
	strings.Repeat("n", MaxName), strings.Repeat("\xff", MaxName),
}

// badNames are refused wherever a name is taken.
var badNames = []string{"", ".", "..", "/", "a/b", "/a", "a/", "../x", "x/..", "a\x00b", "\x00", strings.Repeat("n", MaxName+1)}
