package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}

// A database of which most was removed gives its space back at the next start, and
// has what it had; others are left alone.
func TestCompaction(t *testing.T) {
	dir := memDir(t)
	s := mustOpen(t, dir)
	big, small := NewTable[[]byte](s, "big"), NewTable[record](s, "small")
	put := func(fn func(tx *Tx) error) {
		t.Helper()
		if err := s.Update(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 400 {
		put(func(tx *Tx) error { return big.Put(tx, fmt.Sprint(i), bytes.Repeat([]byte{byte(i)}, 10_000)) })
	}
	put(func(tx *Tx) error { return small.Put(tx, "a", record{"kept", 7}) })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "state.db")
	o := testOptions()
	o.compactFrom = 1 << 20
	reopen := func() {
		t.Helper()
		var err error
		if s, err = Open(t.Context(), dir, o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		big, small = NewTable[[]byte](s, "big"), NewTable[record](s, "small")
	}
	full := sizeOf(t, path)
	reopen() // nothing is free
	if n := sizeOf(t, path); n < full {
		t.Errorf("%d bytes became %d, and all were in use", full, n)
	}
	for i := range 390 {
		put(func(tx *Tx) error { return big.Delete(tx, fmt.Sprint(i)) })
	}
	uuid, incarnation := s.StateUUID(), s.Incarnation()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// A death while it was compacted left this.
	obstacle := path + ".new"
	if err := os.MkdirAll(filepath.Join(obstacle, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	reopen()
	if _, err := os.Lstat(obstacle); !os.IsNotExist(err) {
		t.Errorf("what an earlier one left is still there: %v", err)
	}
	if n := sizeOf(t, path); n > full/4 {
		t.Errorf("%d bytes became %d", full, n)
	}
	if s.StateUUID() != uuid || s.Incarnation() != incarnation+1 {
		t.Errorf("state %s, incarnation %d", s.StateUUID(), s.Incarnation())
	}
	if v, ok, err := small.Get("a"); err != nil || !ok || v != (record{"kept", 7}) {
		t.Errorf("%v %v %v", v, ok, err)
	}
	if v, ok, err := big.Get("395"); err != nil || !ok || !bytes.Equal(v, bytes.Repeat([]byte{byte(395 % 256)}, 10_000)) {
		t.Errorf("%d bytes, %v %v", len(v), ok, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := Check(t.Context(), dir); err != nil || len(r.Problems) > 0 || r.Tables["big"] != 10 {
		t.Errorf("%+v %v", r, err)
	}
}
