package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/test/needs"
)

// What root restores belongs to whom the state directory belongs to.
func TestRestoreKeepsTheOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		needs.Missing(t, "the owner of restored state is NOT checked: this needs root")
	}
	s := mustOpen(t, memDir(t))
	fill(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(memDir(t), "backup")
	if err := Backup(t.Context(), s.Dir(), backup); err != nil {
		t.Fatal(err)
	}
	dir := memDir(t)
	if err := os.Chown(dir, 4321, 4322); err != nil {
		t.Fatal(err)
	}
	for range 2 { // without and with a database that is kept
		if _, err := Restore(t.Context(), backup, dir, testOptions().NodeID); err != nil {
			t.Fatal(err)
		}
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) < 3 {
		t.Fatalf("%v, %v", list, err)
	}
	for _, e := range list {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(dir, e.Name()), &st); err != nil || st.Uid != 4321 || st.Gid != 4322 {
			t.Errorf("%s belongs to %d:%d, %v", e.Name(), st.Uid, st.Gid, err)
		}
	}
}

// A backup never takes the place of what is there.
func TestBackupRefusesAFileThatIsThere(t *testing.T) {
	s := mustOpen(t, memDir(t))
	path := filepath.Join(memDir(t), "backup")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("beside a daemon: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Backup(t.Context(), s.Dir(), path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "mine" {
		t.Errorf("the file has %q now, %v", b, err)
	}
}
