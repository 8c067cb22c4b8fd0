package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"regexp"

	"github.com/zeebo/xxh3"
	bolt "go.etcd.io/bbolt"
)

// Table is a set of values of one type under string keys, kept as JSON. Keys
// are bytes, 1 to 1024 of them, and sort as bytes. A Table is safe for
// concurrent use; two of one name and type are the same.
type Table[T any] struct {
	s      *Store
	name   string
	bucket []byte
}

const (
	maxKey     = 1024
	scanBatch  = 128
	tableSpace = "table/"
)

var tableName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)

// NewTable returns the table of that name, which comes to be with its first
// value. It panics on a name that is not a lower-case word.
func NewTable[T any](s *Store, name string) *Table[T] {
	if !tableName.MatchString(name) {
		panic("store: bad table name " + name)
	}
	return &Table[T]{s: s, name: name, bucket: []byte(tableSpace + name)}
}

// Get returns the value of a key, false where there is none.
func (t *Table[T]) Get(key string) (v T, ok bool, err error) {
	err = t.s.View(func(tx *Tx) error {
		v, ok, err = t.GetTx(tx, key)
		return err
	})
	return v, ok, err
}

// GetTx is Get inside a transaction: it sees the transaction's own changes.
func (t *Table[T]) GetTx(tx *Tx, key string) (v T, ok bool, err error) {
	var raw []byte
	err = tx.guard(func() error {
		if b := tx.btx.Bucket(t.bucket); b != nil {
			raw = b.Get([]byte(key))
			if raw != nil {
				ok = true
				raw, err = openRecord(tx.s.dbPath(), t.name, key, raw)
			}
		}
		return err
	})
	if err != nil || !ok {
		return v, false, err
	}
	return v, true, t.decode(key, raw, &v)
}

// Put sets the value of a key.
func (t *Table[T]) Put(tx *Tx, key string, v T) error {
	raw, err := marshal(v)
	if err != nil {
		return fmt.Errorf("table %s, key %q: %w", t.name, key, err)
	}
	return tx.put(t.bucket, t.name, key, raw)
}

// Delete removes a key; it is no error when there is none.
func (t *Table[T]) Delete(tx *Tx, key string) error {
	return tx.del(t.bucket, t.name, key)
}

// All calls yield for every key in order. It holds no transaction meanwhile, so
// yield may update the store, and a change made during the walk may be seen or
// not. An error of yield ends the walk and is returned.
func (t *Table[T]) All(yield func(key string, v T) error) error {
	return t.Range("", "", yield)
}

// Range is All for the keys that begin with prefix and come after the key
// after ("" for all).
func (t *Table[T]) Range(prefix, after string, yield func(key string, v T) error) error {
	type record struct {
		key string
		raw []byte
	}
	batch := make([]record, 0, scanBatch)
	for {
		batch = batch[:0]
		err := t.s.View(func(tx *Tx) error {
			return tx.walk(t.bucket, t.name, prefix, after, func(key string, raw []byte) (bool, error) {
				batch = append(batch, record{key, bytes.Clone(raw)})
				return len(batch) < scanBatch, nil
			})
		})
		if err != nil {
			return err
		}
		for _, r := range batch {
			var v T
			if err := t.decode(r.key, r.raw, &v); err != nil {
				return err
			}
			if err := yield(r.key, v); err != nil {
				return err
			}
			after = r.key
		}
		if len(batch) < scanBatch {
			return nil
		}
	}
}

// RangeTx is Range inside a transaction: it sees one state, with the
// transaction's own changes. yield must not change the table.
func (t *Table[T]) RangeTx(tx *Tx, prefix, after string, yield func(key string, v T) error) error {
	return tx.walk(t.bucket, t.name, prefix, after, func(key string, raw []byte) (bool, error) {
		var v T
		if err := t.decode(key, raw, &v); err != nil {
			return false, err
		}
		return true, yield(key, v)
	})
}

func (t *Table[T]) decode(key string, raw []byte, v *T) error {
	if err := unmarshal(raw, v); err != nil {
		return fmt.Errorf("table %s, key %q: %w", t.name, key, err)
	}
	return nil
}

// A record is an XXH3 over table, key and value, then the value. bbolt has no
// checksums of its own on anything but its two heads.
const recordHead = 8

func recordSum(table, key string, value []byte) uint64 {
	var h xxh3.Hasher
	var n [4]byte
	for _, s := range [...]string{table, key} {
		binary.LittleEndian.PutUint32(n[:], uint32(len(s)))
		_, _ = h.Write(n[:])
		_, _ = h.WriteString(s)
	}
	_, _ = h.Write(value)
	return h.Sum64()
}

func sealRecord(table, key string, value []byte) []byte {
	b := make([]byte, recordHead, recordHead+len(value))
	binary.LittleEndian.PutUint64(b, recordSum(table, key, value))
	return append(b, value...)
}

func openRecord(path, table, key string, b []byte) ([]byte, error) {
	if len(b) < recordHead || binary.LittleEndian.Uint64(b) != recordSum(table, key, b[recordHead:]) {
		return nil, damaged(path, -1, "table %s, key %q: wrong checksum", table, key)
	}
	return b[recordHead:], nil
}

// tableSum is what all records of a table add up to, so that one that is lost
// or came back is noticed.
type tableSum struct{ count, sum uint64 }

func (a *tableSum) add(record []byte) {
	a.count++
	a.sum += binary.LittleEndian.Uint64(record)
}

func (a *tableSum) sub(record []byte) {
	a.count--
	a.sum -= binary.LittleEndian.Uint64(record)
}

func (a tableSum) encode() []byte {
	b := binary.LittleEndian.AppendUint64(nil, a.count)
	return binary.LittleEndian.AppendUint64(b, a.sum)
}

func readTableSum(b *bolt.Bucket, table string) (a tableSum, ok bool) {
	if b == nil {
		return a, true
	}
	v := b.Get([]byte(table))
	if v == nil {
		return a, true
	}
	if len(v) != 16 {
		return a, false
	}
	return tableSum{binary.LittleEndian.Uint64(v), binary.LittleEndian.Uint64(v[8:])}, true
}
