package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckDumpBackupRestore(t *testing.T) {
	dir := memDir(t)
	s := mustOpen(t, dir)
	want := fill(t, s)
	l, err := s.CreateLog(Target, "u", "l")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(3, []byte("frame")); err != nil {
		t.Fatal(err)
	}
	var le *LockedError
	if _, err := Check(t.Context(), dir); !errors.As(err, &le) {
		t.Fatalf("check beside a daemon: %v", err)
	}
	backup := filepath.Join(memDir(t), "backup")
	if err := s.Backup(backup); err != nil {
		t.Fatal(err)
	}
	uuid, incarnation := s.StateUUID(), s.Incarnation()
	if err := s.Update(t.Context(), func(tx *Tx) error { return NewTable[int](s, "later").Put(tx, "x", 1) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := Check(t.Context(), dir)
	if err != nil || len(r.Problems) != 0 || r.Logs != 1 || r.Tables["t"] != len(want) || r.NodeID != "n1" || r.StateUUID != uuid {
		t.Fatalf("%+v %v", r, err)
	}
	var out bytes.Buffer
	if err := Dump(t.Context(), dir, &out, true); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"meta":"node_id","value":"n1"`, `"key":"k5"`, `"log":"target/l"`, `"payload":"6672616d65"`} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("dump lacks %s", part)
		}
	}
	if err := Backup(t.Context(), dir, backup+"2"); err != nil {
		t.Fatal(err)
	}

	// Damage, and the way back.
	if err := os.Truncate(s.dbPath(), 5000); err != nil {
		t.Fatal(err)
	}
	r, err = Check(t.Context(), dir)
	if err != nil || len(r.Problems) != 1 {
		t.Fatalf("%+v %v", r, err)
	}
	wantDamaged(t, r.Problems[0])
	wantDamaged(t, Backup(t.Context(), dir, backup+"3"))
	restored, err := Restore(t.Context(), backup, dir, "") // the log says whose it is
	if err != nil {
		t.Fatal(err)
	}
	kept := restored.Kept
	if st, err := os.Stat(kept); err != nil || st.Size() != 5000 {
		t.Errorf("the damaged database was not kept: %v", err)
	}
	s = mustOpen(t, dir)
	if s.StateUUID() == uuid || s.Incarnation() <= incarnation+1 {
		t.Errorf("state %s, incarnation %d", s.StateUUID(), s.Incarnation())
	}
	got := 0
	if err := NewTable[record](s, "t").All(func(k string, v record) error {
		if got++; want[k] != v {
			return errors.New("differs")
		}
		return nil
	}); err != nil || got != len(want) {
		t.Errorf("%d values, %v", got, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), kept, dir, ""); err == nil {
		t.Error("a damaged backup was restored")
	}
	// The newer of two incarnations counts.
	before := s.Incarnation()
	if _, err := Restore(t.Context(), backup, dir, ""); err != nil {
		t.Fatal(err)
	}
	if s = mustOpen(t, dir); s.Incarnation() <= before {
		t.Errorf("incarnation %d after %d", s.Incarnation(), before)
	}
}

func TestCheckLooksOnly(t *testing.T) {
	s := mustOpen(t, memDir(t))
	path, image, _, _, synced := logImage(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		at       int64
		problems int
	}{"torn": {int64(len(image)) - 1, 0}, "damaged": {synced - 3, 1}} {
		bad := append([]byte(nil), image...)
		bad[c.at] ^= 1
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Check(t.Context(), s.Dir())
		if err != nil || len(r.Problems) != c.problems {
			t.Errorf("%s: %+v %v", name, r, err)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, bad) {
			t.Errorf("%s: the log was changed, %v", name, err)
		}
	}
}
