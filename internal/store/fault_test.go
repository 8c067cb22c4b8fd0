package store

import (
	"errors"
	"os"
	"testing"
)

// A database that is cut short under the daemon raises SIGBUS where bbolt reads
// its map: that is an error, and the end of the store, not of the process.
func TestFaultsAreErrors(t *testing.T) {
	for name, use := range map[string]func(s *Store) error{
		"get": func(s *Store) error { _, _, err := NewTable[record](s, "t").Get("k20"); return err },
		"all": func(s *Store) error {
			return NewTable[record](s, "t").All(func(string, record) error { return nil })
		},
		"update": func(s *Store) error {
			return s.Update(t.Context(), func(tx *Tx) error { return NewTable[record](s, "t").Put(tx, "k20", record{}) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustOpen(t, memDir(t))
			fill(t, s)
			if err := os.Truncate(s.dbPath(), 4096); err != nil {
				t.Fatal(err)
			}
			err := use(s)
			wantDamaged(t, err)
			var fe *FailedError
			if !errors.As(err, &fe) || s.Err() == nil {
				t.Errorf("the store goes on after %v", err)
			}
			if err := s.Close(); err != nil {
				t.Log(err)
			}
			_, err = Open(t.Context(), s.Dir(), testOptions())
			wantDamaged(t, err)
		})
	}
}
