package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// Restored is what Restore did.
type Restored struct {
	NodeID, Cluster string // whose state is there now
	Kept            string // name of the database that was there; "" where there was none
}

// OtherBackupError says that a backup is that of another node or cluster than the
// directory is of. Nothing was changed.
type OtherBackupError struct {
	Path, Dir  string // of the backup; of the state
	What       string // "node" or "cluster"
	Have, Want string // in the backup; of the directory
}

func (e *OtherBackupError) Error() string {
	return fmt.Sprintf("restore: backup %s is of %s %q, and %s of %s %q: a backup is good for its own node only; nothing was changed",
		e.Path, e.What, e.Have, e.Dir, e.What, e.Want)
}

// incarnationGap is added at a restore: whatever was granted after the backup
// was made stays stale.
const incarnationGap = 1 << 20

// Restore puts a backup in the place of the database of a state directory that
// no daemon uses, as a new state with an own uuid. It must be of the same node:
// where nothing in the directory tells which that is, since it is empty or the
// database is damaged and there is no log, node has to; elsewhere "" will do. What it
// makes gets the owner of the directory: root may do it for a daemon that runs as
// another user. The database that was there is kept beside it. Errors:
// OtherBackupError, DamagedError, FormatError, LockedError, and those of the file
// system.
func Restore(ctx context.Context, path, dir, node string) (*Restored, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("state directory %q: %w", dir, err)
	}
	if err := restorable(abs); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	h, err := readBackup(ctx, path)
	if err != nil {
		return nil, err
	}
	if node != "" && node != h.node {
		return nil, &OtherBackupError{Path: path, Dir: "--node", What: "node", Have: h.node, Want: node}
	}
	if node == "" && !holdsState(abs) {
		return nil, unknownNode(abs, path, &h)
	}
	s, err := lockToLook(ctx, abs)
	if err != nil {
		return nil, err
	}
	defer s.lock.Close()
	old, err := s.whose(ctx)
	switch {
	case err != nil:
		return nil, fmt.Errorf("restore: %w", err)
	case old.node == "" && node == "":
		return nil, unknownNode(abs, path, &h)
	case old.node != "" && old.node != h.node:
		return nil, &OtherBackupError{Path: path, Dir: abs, What: "node", Have: h.node, Want: old.node}
	case old.cluster != "" && old.cluster != h.cluster:
		return nil, &OtherBackupError{Path: path, Dir: abs, What: "cluster", Have: h.cluster, Want: old.cluster}
	}
	h.incarnation = max(h.incarnation, old.incarnation)
	kept, err := s.replace(path, h)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	return &Restored{NodeID: h.node, Cluster: h.cluster, Kept: kept}, nil
}

// restorable refuses a directory that is neither state nor empty.
func restorable(dir string) error {
	list, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w; make the directory, with the owner that xferd runs as, or write the right one", err)
	case err != nil:
		return err
	case holdsState(dir):
		return nil
	}
	for _, e := range list {
		if e.Name() != "lock" && e.Name() != "reserve" {
			return fmt.Errorf("%s is no state directory, and not empty: it has %q", dir, e.Name())
		}
	}
	return nil
}

func unknownNode(dir, path string, h *head) error {
	return fmt.Errorf("restore: nothing in %s tells of which node it is, and backup %s is of node %q of cluster %q: if that is this node, say so with --node %s; nothing was changed",
		dir, path, h.node, h.cluster, h.node)
}

// readBackup reads all of a backup.
func readBackup(ctx context.Context, path string) (h head, err error) {
	if err := checkPages(ctx, path); err != nil {
		return h, err
	}
	return h, readDB(path, func(tx *bolt.Tx) (err error) {
		if h, err = readHead(path, tx); err != nil {
			return err
		}
		if err := h.check(path, Options{NodeID: h.node, Cluster: h.cluster}); err != nil {
			return err
		}
		return checkRecords(ctx, path, tx)
	})
}

// whose tells of which node the state is that is there: by the database, or where
// that is damaged or gone by the logs. An empty node is not known.
func (s *Store) whose(ctx context.Context) (h head, err error) {
	if checkPages(ctx, s.dbPath()) == nil {
		err := readDB(s.dbPath(), func(tx *bolt.Tx) (err error) {
			h, err = readHead(s.dbPath(), tx)
			return err
		})
		if err == nil {
			return h, nil
		}
	}
	h = head{}
	return h, s.eachLog(func(role Role, uid, name string) error {
		if path, err := s.logPath(role, uid, name); err == nil && h.node == "" {
			h.node = logNode(path)
		}
		return ctx.Err()
	})
}

// logNode returns the node in the header of a log; "" where it cannot be read.
func logNode(path string) string {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, maxHeader)
	n, _ := f.ReadAt(b, 0)
	h, _, err := parseLogHeader(b[:n])
	if err != nil {
		return ""
	}
	return h.node
}

// replace puts a copy of the backup in place, with a new uuid and an incarnation
// above that of h, and returns the name under which the old one is kept.
func (s *Store) replace(path string, h head) (kept string, err error) {
	h.uuid = newUUID()
	h.incarnation += incarnationGap
	temp := s.dbPath() + ".new"
	err = restoreTo(&s.ops, path, temp, &h)
	if err == nil {
		err = giveToOwner(s.dir, temp)
	}
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(temp))
	}
	kept = s.dbPath() + ".before-restore-" + time.Now().UTC().Format("20060102T150405.000Z")
	switch err := os.Link(s.dbPath(), kept); {
	case errors.Is(err, fs.ErrNotExist):
		kept = ""
	case err != nil:
		return "", err
	}
	if err := s.ops.publish(temp, s.dbPath()); err != nil {
		return kept, err
	}
	return kept, nil
}

// restoreTo copies a backup to temp and gives the copy another head.
func restoreTo(o *ops, path, temp string, h *head) error {
	b, err := os.Open(path)
	if err != nil {
		return err
	}
	defer b.Close()
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, b)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return guard(temp, func() error {
		db, err := bolt.Open(temp, 0o600, &bolt.Options{Timeout: time.Second, FreelistType: bolt.FreelistMapType})
		if err != nil {
			return openError(temp, err)
		}
		err = db.Update(h.write)
		if cerr := db.Close(); err == nil {
			err = cerr
		}
		return err
	})
}
