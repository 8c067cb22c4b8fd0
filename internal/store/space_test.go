package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/test/needs"
)

// smallFS mounts a tmpfs of that many bytes.
func smallFS(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		needs.Missing(t, "a small tmpfs cannot be mounted, which needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fillUp takes what space is left, but for keep bytes.
func fillUp(t *testing.T, dir string, keep int64) string {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	if n := int64(st.Bavail)*int64(st.Bsize) - keep; n > 0 {
		if err := unix.Fallocate(int(f.Fd()), 0, 0, n); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestNoSpace(t *testing.T) {
	dir := smallFS(t, 16<<20)
	o := testOptions()
	o.Reserve = 2 << 20
	s, err := Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	tab := NewTable[string](s, "t")
	l, err := s.CreateLog(Target, "u", "l")
	if err != nil {
		t.Fatal(err)
	}
	ballast := fillUp(t, dir, 256<<10)
	value := strings.Repeat("v", 20_000)
	put := func(key string) func(*Tx) error {
		return func(tx *Tx) error { return tab.Put(tx, key, value) }
	}
	kept := 0
	for ; kept < 1000; kept++ {
		if err = s.Update(t.Context(), put(fmt.Sprint(kept))); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrNoSpace) || s.Err() != nil {
		t.Fatalf("after %d updates: %v, store: %v", kept, err, s.Err())
	}
	if _, err := l.Append(1, make([]byte, 1<<20)); !errors.Is(err, ErrNoSpace) || s.Err() != nil {
		t.Fatalf("append: %v, store: %v", err, s.Err())
	}
	// Reads and ends go on.
	if v, ok, err := tab.Get("0"); v != value || !ok || err != nil {
		t.Fatalf("get: %v %v", ok, err)
	}
	if err := s.UpdateReserved(t.Context(), put("end")); err != nil {
		t.Fatalf("with the reserve: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// A full node can start.
	if s, err = Open(t.Context(), dir, o); err != nil {
		t.Fatal(err)
	}
	tab = NewTable[string](s, "t")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), put("after")); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(reservePath(s)); err != nil || st.Size() != o.Reserve {
		t.Errorf("the reserve is not there again: %v", err)
	}
	n := 0
	if err := tab.All(func(_, v string) error {
		if n++; v != value {
			return errors.New("a value differs")
		}
		return nil
	}); err != nil || n != kept+2 {
		t.Errorf("%d values, want %d, %v", n, kept+2, err)
	}
}

// Where blocks cannot be reserved, free space is asked for.
func TestNoSpaceWithoutFallocate(t *testing.T) {
	dir := smallFS(t, 16<<20)
	s, err := Open(t.Context(), dir, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.ops.fallocate = func(*os.File, uint32, int64, int64) error { return unix.EOPNOTSUPP }
	s.space.reserved = 0
	tab := NewTable[string](s, "t")
	put := func(tx *Tx) error { return tab.Put(tx, "a", "b") }
	if err := s.Update(t.Context(), put); err != nil {
		t.Fatal(err)
	}
	fillUp(t, dir, spareSpace/2)
	if err := s.Update(t.Context(), put); !errors.Is(err, ErrNoSpace) || s.Err() != nil {
		t.Fatalf("got %v, store %v", err, s.Err())
	}
}

func TestOpenWithoutSpace(t *testing.T) {
	dir := smallFS(t, 1<<20)
	fillUp(t, dir, 8<<10)
	for range 2 {
		if _, err := Open(t.Context(), dir, testOptions()); !errors.Is(err, ErrNoSpace) {
			t.Fatalf("got %v", err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	o := testOptions()
	o.Reserve = -1
	s, err := Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
