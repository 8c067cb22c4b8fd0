package store

import (
	"context"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// checkRecords reads every record and compares the tables with their sums.
func checkRecords(ctx context.Context, path string, tx *bolt.Tx) error {
	sums := tx.Bucket(sumsBucket)
	seen := 0
	err := tx.ForEach(func(name []byte, b *bolt.Bucket) error {
		table, ok := strings.CutPrefix(string(name), tableSpace)
		switch {
		case !ok && (string(name) == string(metaBucket) || string(name) == string(sumsBucket)):
			return nil
		case !ok || b == nil:
			return damaged(path, -1, "it has an unknown bucket %q", name)
		}
		var got tableSum
		n := 0
		err := b.ForEach(func(k, v []byte) error {
			if n++; n%1024 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if _, err := openRecord(path, table, string(k), v); err != nil {
				return err
			}
			got.add(v)
			return nil
		})
		if err != nil {
			return err
		}
		seen++
		want, ok := readTableSum(sums, table)
		if !ok || want != got {
			return damaged(path, -1, "table %s has %d records that do not add up to the %d it should have", table, got.count, want.count)
		}
		return nil
	})
	if err != nil || sums == nil {
		return err
	}
	// A table that is gone as a whole.
	return sums.ForEach(func(k, v []byte) error {
		if want, ok := readTableSum(sums, string(k)); !ok || want.count > 0 && tx.Bucket([]byte(tableSpace+string(k))) == nil {
			return damaged(path, -1, "table %s is missing", k)
		}
		return nil
	})
}
