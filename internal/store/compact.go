package store

import (
	"context"
	"errors"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"
)

// compactFrom is the size in bytes below which a database is left as it is.
const compactFrom = 64 << 20

// wasteful says whether a database of at least that size has more pages that are
// free than others: bbolt never gives them back.
func (c *pageCheck) wasteful(from int64) bool {
	return int64(c.pages)*c.pageSize >= from && 2*c.free.len() > c.pages
}

// compact writes the database anew without its free pages, under another name, and
// puts it in the place of the old one when it is complete, checked and synced. It is
// not open yet. What keeps it from that, such as a full disk, is no reason not to
// start: the old one is good.
func (s *Store) compact(ctx context.Context) error {
	temp := s.dbPath() + ".new"
	before, err := os.Stat(s.dbPath())
	if err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	err = s.writeCompact(ctx, temp)
	if err != nil {
		s.log.Warn("the state database is not compacted", "dir", s.dir, "error", err)
		if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("state directory: %w", err)
		}
		return ctx.Err()
	}
	after, err := os.Stat(temp)
	if err == nil {
		err = s.ops.publish(temp, s.dbPath())
	}
	if err != nil {
		return fmt.Errorf("compact state database: %w", err)
	}
	s.log.Info("state database compacted", "dir", s.dir, "bytes_before", before.Size(), "bytes", after.Size())
	return nil
}

// writeCompact writes the copy, and reads it again.
func (s *Store) writeCompact(ctx context.Context, temp string) error {
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	err := readDB(s.dbPath(), func(tx *bolt.Tx) error {
		return guard(temp, func() error {
			o := s.boltOptions()
			o.NoSync, o.NoGrowSync = true, true // publish syncs it, once
			db, err := bolt.Open(temp, 0o600, o)
			if err != nil {
				return err
			}
			return errors.Join(bolt.Compact(db, tx.DB(), 4<<20), db.Close())
		})
	})
	if err != nil {
		return err
	}
	if err := checkPages(ctx, temp); err != nil {
		return err
	}
	return readDB(temp, func(tx *bolt.Tx) error {
		h, err := readHead(temp, tx)
		if err == nil && h != s.head {
			err = damaged(temp, -1, "its head is another one")
		}
		return errors.Join(err, checkRecords(ctx, temp, tx))
	})
}
