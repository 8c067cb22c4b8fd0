package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// Discard is Close for a start that should not have been. Where this Open made
// the state, and nothing came into it but values of the tables that are named,
// it is removed, with the directory if Open made that too: a start with another
// name finds nothing that belongs to this one. Anything else stays as it is.
func (s *Store) Discard(own ...string) error {
	if !s.made || !s.unused(own) {
		return s.Close()
	}
	var errs []error
	remove := func(path string) {
		err := os.Remove(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	// While the lock is held: nobody else is at work here.
	remove(s.dbPath())
	remove(reservePath(s))
	remove(filepath.Join(s.dir, "transfers"))
	remove(s.lock.Name())
	errs = append(errs, s.Close())
	if s.madeDir {
		remove(s.dir)
	}
	return errors.Join(errs...)
}

// unused reports whether there is nothing but values of the tables own.
func (s *Store) unused(own []string) bool {
	if s.usable() != nil {
		return false
	}
	if uids, err := s.allLogDirs(); err != nil || len(uids) > 0 {
		return false
	}
	errUsed := errors.New("used")
	return nil == s.View(func(tx *Tx) error {
		return tx.btx.ForEach(func(name []byte, _ *bolt.Bucket) error {
			table, ok := strings.CutPrefix(string(name), tableSpace)
			if !ok || slices.Contains(own, table) {
				return nil
			}
			if sum, ok := readTableSum(tx.btx.Bucket(sumsBucket), table); !ok || sum.count > 0 {
				return errUsed
			}
			return nil
		})
	})
}
