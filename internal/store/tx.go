package store

import (
	"bytes"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var (
	metaBucket = []byte("meta")
	sumsBucket = []byte("sums")
)

// Tx is a running transaction. It is valid until the function that got it
// returns, and is used by one goroutine.
type Tx struct {
	s      *Store
	btx    *bolt.Tx
	sums   map[string]*tableSum // of the tables changed so far
	writes int                  // changes so far
	bytes  int64                // of keys and values in them
	broken error                // damage found: the transaction cannot be committed
}

// View runs fn on one state of all tables, for reads only. fn must not call
// Update, which could wait for it.
func (s *Store) View(fn func(tx *Tx) error) error {
	if err := s.usable(); err != nil {
		return err
	}
	var btx *bolt.Tx
	err := guard(s.dbPath(), func() (err error) {
		btx, err = s.db.Begin(false)
		return err
	})
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	if err != nil {
		return s.wedge(err)
	}
	tx := &Tx{s: s, btx: btx}
	defer func() { _ = guard(s.dbPath(), btx.Rollback) }()
	err = fn(tx)
	if tx.broken != nil {
		return s.wedge(tx.broken)
	}
	return err
}

// guard runs one step on the database's memory map.
func (tx *Tx) guard(step func() error) error {
	if tx.broken != nil {
		return tx.broken
	}
	err := guard(tx.s.dbPath(), step)
	if _, ok := errors.AsType[*DamagedError](err); ok {
		tx.broken = err
	}
	return err
}

func checkKey(table, key string) error {
	if len(key) == 0 || len(key) > maxKey {
		return fmt.Errorf("table %s: key of %d bytes, want 1 to %d", table, len(key), maxKey)
	}
	return nil
}

// sum returns the running sum of a table in this transaction.
func (tx *Tx) sum(table string) (*tableSum, error) {
	if a := tx.sums[table]; a != nil {
		return a, nil
	}
	a, ok := readTableSum(tx.btx.Bucket(sumsBucket), table)
	if !ok {
		return nil, damaged(tx.s.dbPath(), -1, "table %s has a malformed sum", table)
	}
	if tx.sums == nil {
		tx.sums = make(map[string]*tableSum)
	}
	tx.sums[table] = &a
	return &a, nil
}

func (tx *Tx) put(bucket []byte, table, key string, value []byte) error {
	if err := checkKey(table, key); err != nil {
		return err
	}
	record := sealRecord(table, key, value)
	return tx.guard(func() error {
		b, err := tx.btx.CreateBucketIfNotExists(bucket)
		if err != nil {
			return fmt.Errorf("table %s: %w", table, err)
		}
		a, err := tx.sum(table)
		if err != nil {
			return err
		}
		if old := b.Get([]byte(key)); old != nil {
			if _, err := openRecord(tx.s.dbPath(), table, key, old); err != nil {
				return err
			}
			a.sub(old)
		}
		if err := b.Put([]byte(key), record); err != nil {
			return fmt.Errorf("table %s, key %q: %w", table, key, err)
		}
		a.add(record)
		tx.writes++
		tx.bytes += int64(len(key) + len(record))
		return nil
	})
}

func (tx *Tx) del(bucket []byte, table, key string) error {
	if err := checkKey(table, key); err != nil {
		return err
	}
	return tx.guard(func() error {
		b := tx.btx.Bucket(bucket)
		if b == nil {
			return nil
		}
		old := b.Get([]byte(key))
		if old == nil {
			return nil
		}
		if _, err := openRecord(tx.s.dbPath(), table, key, old); err != nil {
			return err
		}
		a, err := tx.sum(table)
		if err != nil {
			return err
		}
		a.sub(old)
		if err := b.Delete([]byte(key)); err != nil {
			return fmt.Errorf("table %s, key %q: %w", table, key, err)
		}
		tx.writes++
		return nil
	})
}

// walk calls yield with the values of a table's keys until it says false.
func (tx *Tx) walk(bucket []byte, table, prefix, after string, yield func(key string, raw []byte) (more bool, err error)) error {
	var c *bolt.Cursor
	err := tx.guard(func() error {
		if b := tx.btx.Bucket(bucket); b != nil {
			c = b.Cursor()
		}
		return nil
	})
	if err != nil || c == nil {
		return err
	}
	start := []byte(max(prefix, after))
	for first := true; ; first = false {
		var key string
		var raw []byte
		end := false
		err := tx.guard(func() (err error) {
			var k, v []byte
			if first {
				k, v = c.Seek(start)
				if k != nil && after != "" && string(k) == after {
					k, v = c.Next()
				}
			} else {
				k, v = c.Next()
			}
			if k == nil || !bytes.HasPrefix(k, []byte(prefix)) {
				end = true
				return nil
			}
			key = string(k)
			raw, err = openRecord(tx.s.dbPath(), table, key, v)
			return err
		})
		if err != nil || end {
			return err
		}
		more, err := yield(key, raw)
		if err != nil || !more {
			return err
		}
	}
}

// finish stores the sums before the commit.
func (tx *Tx) finish() error {
	return tx.guard(func() error {
		b, err := tx.btx.CreateBucketIfNotExists(sumsBucket)
		if err != nil {
			return err
		}
		for table, a := range tx.sums {
			if err := b.Put([]byte(table), a.encode()); err != nil {
				return err
			}
			tx.writes++
		}
		return nil
	})
}
