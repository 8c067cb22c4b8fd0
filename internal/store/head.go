package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/zeebo/xxh3"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Format of what this version writes, and the lowest format that a reader of it
// must know. What bucket meta holds, and that its sum covers it, stays so in
// all formats.
const (
	format    = 1
	minReader = 1
)

// head is the content of bucket meta.
type head struct {
	format      int
	minReader   int
	node        string
	cluster     string
	uuid        string
	createdBy   string // version that made the state
	writtenBy   string // version that wrote it last
	incarnation uint64
}

// fields are the names under which it is stored, in the order of the sum.
func (h *head) fields() [][2]string {
	return [][2]string{
		{"format", strconv.Itoa(h.format)},
		{"min_reader", strconv.Itoa(h.minReader)},
		{"node_id", h.node},
		{"cluster", h.cluster},
		{"state_uuid", h.uuid},
		{"created_by", h.createdBy},
		{"written_by", h.writtenBy},
		{"incarnation", strconv.FormatUint(h.incarnation, 10)},
	}
}

// metaSum covers every key and value but "sum" itself, in the order of keys.
func metaSum(b *bolt.Bucket) []byte {
	var h xxh3.Hasher
	_ = b.ForEach(func(k, v []byte) error {
		if string(k) != "sum" {
			_, _ = fmt.Fprintf(&h, "%d:%s=%d:%s\n", len(k), k, len(v), v)
		}
		return nil
	})
	return []byte(fmt.Sprintf("%016x", h.Sum64()))
}

func (h *head) write(tx *bolt.Tx) error {
	b, err := tx.CreateBucketIfNotExists(metaBucket)
	if err != nil {
		return err
	}
	for _, f := range h.fields() {
		if err := b.Put([]byte(f[0]), []byte(f[1])); err != nil {
			return err
		}
	}
	return b.Put([]byte("sum"), metaSum(b))
}

func readHead(path string, tx *bolt.Tx) (h head, err error) {
	b := tx.Bucket(metaBucket)
	if b == nil {
		return h, damaged(path, -1, "it has no head")
	}
	if string(b.Get([]byte("sum"))) != string(metaSum(b)) {
		return h, damaged(path, -1, "its head has a wrong checksum")
	}
	get := func(k string) string { return string(b.Get([]byte(k))) }
	var e1, e2, e3 error
	h.format, e1 = strconv.Atoi(get("format"))
	h.minReader, e2 = strconv.Atoi(get("min_reader"))
	h.incarnation, e3 = strconv.ParseUint(get("incarnation"), 10, 64)
	if err := errors.Join(e1, e2, e3); err != nil {
		return h, &DamagedError{Path: path, Offset: -1, Detail: "its head is malformed", Err: err}
	}
	h.node, h.cluster, h.uuid = get("node_id"), get("cluster"), get("state_uuid")
	h.createdBy, h.writtenBy = get("created_by"), get("written_by")
	return h, nil
}

// check refuses state that is not for this daemon.
func (h *head) check(dir string, o Options) error {
	switch {
	case h.minReader > format:
		return &FormatError{Dir: dir, Format: h.format, MinReader: h.minReader, Known: format, WrittenBy: h.writtenBy}
	case h.node != o.NodeID:
		return &ForeignError{Path: dir, What: "node", Have: h.node, Want: o.NodeID}
	case h.cluster != o.Cluster:
		return &ForeignError{Path: dir, What: "cluster", Have: h.cluster, Want: o.Cluster}
	}
	return nil
}

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	x := hex.EncodeToString(b[:])
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

func (s *Store) boltOptions() *bolt.Options {
	return &bolt.Options{
		Timeout:      time.Second,
		FreelistType: bolt.FreelistMapType,
		NoSync:       s.opt.NoSync,
		NoGrowSync:   s.opt.NoSync,
	}
}

// create makes the database under another name and renames it, so that one with
// the right name was complete and synced.
func (s *Store) create() error {
	if uids, err := s.allLogDirs(); err != nil {
		return err
	} else if len(uids) > 0 {
		return damaged(s.dbPath(), -1, "it is missing, although there are logs of %d transfers", len(uids))
	}
	temp := s.dbPath() + ".new"
	if err := os.RemoveAll(temp); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	h := head{
		format: format, minReader: minReader, node: s.opt.NodeID, cluster: s.opt.Cluster,
		uuid: newUUID(), createdBy: s.opt.Version, writtenBy: s.opt.Version,
	}
	err := guard(temp, func() error {
		db, err := bolt.Open(temp, 0o600, s.boltOptions())
		if err != nil {
			return err
		}
		err = db.Update(h.write)
		if cerr := db.Close(); err == nil {
			err = cerr
		}
		return err
	})
	if err == nil {
		err = s.ops.publish(temp, s.dbPath())
	}
	switch {
	case isNoSpace(err):
		return fmt.Errorf("%w in %s: %w", ErrNoSpace, s.dir, err)
	case err != nil:
		return fmt.Errorf("make state database: %w", err)
	}
	s.log.Info("new state directory", "dir", s.dir, "state", h.uuid)
	return nil
}

// inspect reads the whole database without writing to it: the head first, then
// every record.
func (s *Store) inspect(ctx context.Context) error {
	return readDB(s.dbPath(), func(tx *bolt.Tx) (err error) {
		if s.head, err = readHead(s.dbPath(), tx); err != nil {
			return err
		}
		if err := s.head.check(s.dir, s.opt); err != nil {
			return err
		}
		return checkRecords(ctx, s.dbPath(), tx)
	})
}

// readDB runs fn on a database that is opened for reading only.
func readDB(path string, fn func(tx *bolt.Tx) error) error {
	return guard(path, func() error {
		db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, ReadOnly: true})
		if err != nil {
			return openError(path, err)
		}
		err = db.View(fn)
		if cerr := db.Close(); err == nil {
			err = cerr
		}
		return err
	})
}

func openError(path string, err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return &DamagedError{Path: path, Offset: -1, Err: err}
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("%s is locked by another program: %w", path, err)
	}
	return fmt.Errorf("open state database: %w", err)
}

func (s *Store) openDB() error {
	return guard(s.dbPath(), func() error {
		o := s.boltOptions()
		// Address space only: a long read then rarely holds up a growing file.
		o.InitialMmapSize = 64 << 20
		db, err := bolt.Open(s.dbPath(), 0o600, o)
		if err != nil {
			return openError(s.dbPath(), err)
		}
		db.AllocSize = growStep
		s.db = db
		return nil
	})
}

// raise begins a new incarnation. It may use the reserve: a node whose state
// directory is full must be able to start and cancel.
func (s *Store) raise(ctx context.Context) error {
	h := s.head
	h.incarnation++
	h.writtenBy = s.opt.Version
	err := s.UpdateReserved(ctx, func(tx *Tx) error {
		tx.writes++
		return tx.guard(func() error { return h.write(tx.btx) })
	})
	if err != nil {
		return fmt.Errorf("begin incarnation %d: %w", h.incarnation, err)
	}
	s.head = h
	return nil
}
