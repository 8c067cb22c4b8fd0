package store

import (
	"context"
	"errors"
	"testing"
)

type record struct {
	Name string
	N    int
}

func testOptions() Options { return Options{NodeID: "n1", Cluster: "c", Version: "test", Reserve: -1} }

func mustOpen(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(context.Background(), dir, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	if s.Incarnation() != 1 {
		t.Fatalf("incarnation %d", s.Incarnation())
	}
	tab := NewTable[record](s, "things")
	err := s.Update(t.Context(), func(tx *Tx) error {
		return errors.Join(tab.Put(tx, "a", record{"x", 1}), tab.Put(tx, "b", record{"y", 2}))
	})
	if err != nil {
		t.Fatal(err)
	}
	uuid := s.StateUUID()
	l, err := s.CreateLog(Owner, "u1", "manifest")
	if err != nil {
		t.Fatal(err)
	}
	off, err := l.Append(7, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir)
	if s.Incarnation() != 2 || s.StateUUID() != uuid {
		t.Fatalf("incarnation %d, state %s, want 2 and %s", s.Incarnation(), s.StateUUID(), uuid)
	}
	tab = NewTable[record](s, "things")
	if v, ok, err := tab.Get("b"); err != nil || !ok || v != (record{"y", 2}) {
		t.Fatalf("got %v %v %v", v, ok, err)
	}
	l, err = s.OpenLog(Owner, "u1", "manifest")
	if err != nil {
		t.Fatal(err)
	}
	typ, p, err := l.ReadAt(off, nil)
	if err != nil || typ != 7 || string(p) != "hello" {
		t.Fatalf("got %d %q %v", typ, p, err)
	}
}
