package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

func TestSecondOpener(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	_, err := Open(t.Context(), dir, testOptions())
	var le *LockedError
	if !errors.As(err, &le) || le.PID != os.Getpid() || !strings.Contains(err.Error(), dir) {
		t.Fatalf("got %v", err)
	}
	if s.Err() != nil {
		t.Error(s.Err())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, dir, testOptions()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	o := testOptions()
	o.Reserve = 1 << 20
	s, err := Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.CreateLog(Owner, "u", "l"); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err == nil && st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, st.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// editHead changes the head behind the store's back.
func editHead(t *testing.T, dir string, edit func(*head)) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(dir, "state.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		h, err := readHead("", tx)
		if err != nil {
			return err
		}
		edit(&h)
		return h.write(tx)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestRefusedStateIsNotTouched(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*head)
		opt  func(*Options)
		want string
	}{
		"newer format":     {edit: func(h *head) { h.format, h.minReader, h.writtenBy = 7, 7, "1.9" }, want: "has format 7 (written by xferd 1.9)"},
		"foreign node":     {opt: func(o *Options) { o.NodeID = "n2" }, want: `belongs to node "n1" and this is node "n2"`},
		"foreign cluster":  {opt: func(o *Options) { o.Cluster = "other" }, want: `belongs to cluster "c"`},
		"newer, but reads": {edit: func(h *head) { h.format = 7 }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := mustOpen(t, dir).Close(); err != nil {
				t.Fatal(err)
			}
			if c.edit != nil {
				editHead(t, dir, c.edit)
			}
			o := testOptions()
			if c.opt != nil {
				c.opt(&o)
			}
			before, err := os.ReadFile(filepath.Join(dir, "state.db"))
			if err != nil {
				t.Fatal(err)
			}
			s, err := Open(t.Context(), dir, o)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				_ = s.Close()
				return
			}
			var fe *FormatError
			var oe *ForeignError
			if !errors.As(err, &fe) && !errors.As(err, &oe) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v", err)
			}
			after, err := os.ReadFile(filepath.Join(dir, "state.db"))
			if err != nil || string(after) != string(before) {
				t.Errorf("the database was changed, %v", err)
			}
		})
	}
}

func wantDamaged(t *testing.T, err error) {
	t.Helper()
	var de *DamagedError
	if !errors.As(err, &de) || !strings.Contains(err.Error(), "xferd state") {
		t.Fatalf("want damage, got %v", err)
	}
}

func TestDamagedDatabase(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, path string) error{
		"empty":     func(t *testing.T, path string) error { return os.Truncate(path, 0) },
		"one byte":  func(t *testing.T, path string) error { return os.Truncate(path, 1) },
		"one page":  func(t *testing.T, path string) error { return os.Truncate(path, 4096) },
		"two pages": func(t *testing.T, path string) error { return os.Truncate(path, 8192) },
		"text":      func(t *testing.T, path string) error { return os.WriteFile(path, make([]byte, 100_000), 0o600) },
		"missing":   func(t *testing.T, path string) error { return os.Remove(path) },
		"directory": func(t *testing.T, path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpen(t, dir)
			if _, err := s.CreateLog(Owner, "u", "l"); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := damage(t, s.dbPath()); err != nil {
				t.Fatal(err)
			}
			_, err := Open(t.Context(), dir, testOptions())
			wantDamaged(t, err)
		})
	}
}

// fill makes a database with pages of all kinds: big values, many small ones,
// free pages, an empty table.
func fill(t testing.TB, s *Store) map[string]record {
	want := make(map[string]record)
	tab, small := NewTable[record](s, "t"), NewTable[int](s, "small")
	put := func(k string, v record) {
		want[k] = v
		if err := s.Update(t.Context(), func(tx *Tx) error { return tab.Put(tx, k, v) }); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 40 {
		put("k"+strconv.Itoa(i), record{strings.Repeat("v", 50*i), i})
	}
	put("big", record{strings.Repeat("B", 10_000), 1})
	put("k3", record{"again", 3})
	err := s.Update(t.Context(), func(tx *Tx) error {
		return errors.Join(small.Put(tx, "one", 1), tab.Delete(tx, "k7"))
	})
	if err != nil {
		t.Fatal(err)
	}
	delete(want, "k7")
	return want
}

// TestDatabaseByteFlips changes single bytes all over the file: what opens has
// exactly what was written, all else is refused as damaged.
func TestDatabaseByteFlips(t *testing.T) {
	dir := memDir(t)
	s := mustOpen(t, dir)
	want := fill(t, s)
	incarnation := s.Incarnation()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(s.dbPath())
	if err != nil {
		t.Fatal(err)
	}
	good = good[:min(len(good), 1<<20)]
	opened, refused := 0, 0
	for _, i := range flipOffsets(good) {
		bad := append([]byte(nil), good...)
		bad[i] ^= 1 << (i % 8)
		if err := os.WriteFile(s.dbPath(), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), dir, testOptions())
		if err != nil {
			var de *DamagedError
			if !errors.As(err, &de) {
				t.Fatalf("byte %d: %v", i, err)
			}
			refused++
			continue
		}
		opened++
		got := make(map[string]record)
		if err := NewTable[record](s, "t").All(func(k string, v record) error { got[k] = v; return nil }); err != nil {
			t.Fatalf("byte %d: %v", i, err)
		}
		if len(got) != len(want) || s.Incarnation() != incarnation+1 {
			t.Fatalf("byte %d: %d values of %d, incarnation %d", i, len(got), len(want), s.Incarnation())
		}
		for k, v := range want {
			if got[k] != v {
				t.Fatalf("byte %d: key %s differs", i, k)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d opened with everything there, %d refused", opened, refused)
}

// flipOffsets samples the file: every head byte of each page that is not blank,
// and some of the rest.
func flipOffsets(b []byte) []int {
	var at []int
	for page := 0; page+4096 <= len(b); page += 4096 {
		blank := true
		for _, c := range b[page : page+4096] {
			blank = blank && c == 0
		}
		if blank {
			continue
		}
		for i := range 4096 {
			if i < 96 && (page < 8192 || i%3 == 0) || i%211 == page/4096%211 {
				at = append(at, page+i)
			}
		}
	}
	return at
}
