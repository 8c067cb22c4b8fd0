package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Only what this start made, and nobody used, goes.
func TestDiscard(t *testing.T) {
	put := func(table string) func(*testing.T, *Store) {
		return func(t *testing.T, s *Store) {
			if err := s.Update(t.Context(), func(tx *Tx) error { return NewTable[int](s, table).Put(tx, "k", 1) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	logged := func(t *testing.T, s *Store) {
		if _, err := s.CreateLog(Owner, "u", "l"); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name    string
		before  bool // there was state
		use     func(*testing.T, *Store)
		dir     bool // there was a directory
		removed bool
	}{
		{"untouched", false, nil, false, true},
		{"own table", false, put("peers"), false, true},
		{"in a directory that was there", false, put("peers"), true, true},
		{"with a transfer", false, put("transfers"), false, false},
		{"with a log", false, logged, true, false},
		{"there before", true, put("peers"), true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(memDir(t), "state")
			if c.dir {
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if c.before {
				if err := mustOpen(t, dir).Close(); err != nil {
					t.Fatal(err)
				}
			}
			s := mustOpen(t, dir)
			if c.use != nil {
				c.use(t, s)
			}
			for range 2 {
				if err := s.Discard("peers", "node"); err != nil {
					t.Fatal(err)
				}
			}
			list, err := os.ReadDir(dir)
			switch {
			case !c.removed:
				if err := mustOpen(t, dir).Close(); err != nil || len(list) == 0 {
					t.Errorf("it is gone: %v %v", list, err)
				}
			case c.dir && (err != nil || len(list) > 0), !c.dir && !errors.Is(err, fs.ErrNotExist):
				t.Errorf("left: %v, %v", list, err)
			}
		})
	}
}
