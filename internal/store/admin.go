package store

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// Report is what Check found.
type Report struct {
	NodeID, Cluster, StateUUID string
	CreatedBy, WrittenBy       string
	Format                     int
	Incarnation                uint64
	Tables                     map[string]int // values in each
	Logs                       int
	Backup                     bool // it is one, and so has no logs
	Problems                   []error
}

// Check reads all of a state directory that no daemon uses, or a backup, and
// changes nothing in it. The error is for what kept it from looking; what it found
// is in the report.
func Check(ctx context.Context, dir string) (*Report, error) {
	if st, err := os.Stat(dir); err == nil && st.Mode().IsRegular() {
		r := &Report{Tables: make(map[string]int), Backup: true}
		if _, err := r.database(ctx, dir, dir); err != nil {
			r.Problems = append(r.Problems, err)
		}
		return r, ctx.Err()
	}
	s, err := attach(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer s.lock.Close()
	r := &Report{Tables: make(map[string]int)}
	note := func(err error) {
		if err != nil {
			r.Problems = append(r.Problems, err)
		}
	}
	h, err := r.database(ctx, s.dir, s.dbPath())
	note(err)
	s.head, s.opt.NodeID = h, h.node
	err = s.eachLog(func(role Role, uid, name string) error {
		r.Logs++
		note(s.lookAt(role, uid, name, nil))
		return ctx.Err()
	})
	return r, err
}

// database reads all of a database, and returns its head as far as it got.
func (r *Report) database(ctx context.Context, dir, path string) (h head, err error) {
	if err := checkPages(ctx, path); err != nil {
		return h, err // bbolt must not map it
	}
	return h, readDB(path, func(tx *bolt.Tx) (err error) {
		if h, err = readHead(path, tx); err != nil {
			return err
		}
		r.NodeID, r.Cluster, r.StateUUID, r.Format = h.node, h.cluster, h.uuid, h.format
		r.CreatedBy, r.WrittenBy, r.Incarnation = h.createdBy, h.writtenBy, h.incarnation
		if err := h.check(dir, Options{NodeID: h.node, Cluster: h.cluster}); err != nil {
			return err
		}
		if err := checkRecords(ctx, path, tx); err != nil {
			return err
		}
		return tx.ForEach(func(name []byte, _ *bolt.Bucket) error {
			if table, ok := strings.CutPrefix(string(name), tableSpace); ok {
				a, _ := readTableSum(tx.Bucket(sumsBucket), table)
				r.Tables[table] = int(a.count)
			}
			return nil
		})
	})
}

// holdsState reports whether a directory has what a daemon makes in its state_dir.
// A lock alone is nothing.
func holdsState(dir string) bool {
	for _, name := range []string{"state.db", "transfers"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// attach locks an existing state directory for looking. In a directory that is none
// it makes nothing.
func attach(ctx context.Context, dir string) (*Store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("state directory %q: %w", dir, err)
	}
	if _, err := os.ReadDir(abs); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if !holdsState(abs) {
		return nil, fmt.Errorf("%s is no state directory: it has no state.db and no transfers", abs)
	}
	return lockToLook(ctx, abs)
}

func lockToLook(ctx context.Context, abs string) (s *Store, err error) {
	s = &Store{dir: abs, log: slog.New(slog.DiscardHandler), ops: realOps(false), failed: make(chan struct{})}
	if s.lock, err = lockDir(ctx, abs); err != nil {
		return nil, err
	}
	if err := giveToOwner(abs, s.lock.Name()); err != nil { // it may be new
		return nil, errors.Join(fmt.Errorf("state directory: %w", err), s.lock.Close())
	}
	return s, nil
}

func (s *Store) eachLog(fn func(role Role, uid, name string) error) error {
	for _, role := range []Role{Owner, Target} {
		uids, err := s.LogUIDs(role)
		if err != nil {
			return err
		}
		for _, uid := range uids {
			names, err := s.LogNames(role, uid)
			if err != nil {
				return err
			}
			for _, name := range names {
				if err := fn(role, uid, name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// lookAt reads a log without changing it, and shows its frames.
func (s *Store) lookAt(role Role, uid, name string, show func(off int64, typ uint8, payload []byte) error) error {
	path, err := s.logPath(role, uid, name)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	l := s.newLog(path, f)
	l.look = true
	if s.opt.NodeID == "" { // the head cannot be read: believe the log
		if node := logNode(path); node != "" {
			defer func() { s.opt.NodeID = "" }()
			s.opt.NodeID = node
		}
	}
	if err := l.recover(role, uid, name); err != nil || show == nil {
		return err
	}
	return l.Read(0, show)
}

// Dump writes what a state directory that no daemon uses holds, one JSON object
// a line: the head, each value of each table, and with logs each frame in hex.
// It goes on after damage as far as it can, and returns all it met.
func Dump(ctx context.Context, dir string, w io.Writer, logs bool) error {
	s, err := attach(ctx, dir)
	if err != nil {
		return err
	}
	defer s.lock.Close()
	out := json.NewEncoder(w)
	var errs []error
	note := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	if err := checkPages(ctx, s.dbPath()); err != nil {
		note(err)
	} else {
		note(readDB(s.dbPath(), func(tx *bolt.Tx) error { return s.dumpTables(ctx, tx, out, note) }))
	}
	if logs {
		note(s.eachLog(func(role Role, uid, name string) error {
			note(s.lookAt(role, uid, name, func(off int64, typ uint8, p []byte) error {
				return out.Encode(map[string]any{"uid": uid, "log": string(role) + "/" + name, "offset": off, "type": typ, "payload": hex.EncodeToString(p)})
			}))
			return ctx.Err()
		}))
	}
	return errors.Join(errs...)
}

func (s *Store) dumpTables(ctx context.Context, tx *bolt.Tx, out *json.Encoder, note func(error)) error {
	return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
		table, ok := strings.CutPrefix(string(name), tableSpace)
		if !ok && string(name) != string(metaBucket) {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			if !ok {
				return out.Encode(map[string]any{"meta": string(k), "value": string(v)})
			}
			raw, err := openRecord(s.dbPath(), table, string(k), v)
			if err != nil {
				note(err)
				raw = v[min(len(v), recordHead):]
			}
			line := map[string]any{"table": table, "key": string(k), "value": json.RawMessage(raw)}
			if !json.Valid(raw) {
				line["value"] = string(raw)
			}
			if err := out.Encode(line); err != nil {
				return err
			}
			return ctx.Err()
		})
	})
}

// Backup writes the tables as they are now to a file, which is complete and
// synced when it gets its name. Logs are not in it: without them transfers begin
// anew, which is safe. Updates go on meanwhile.
func (s *Store) Backup(path string) error {
	return s.View(func(tx *Tx) error {
		return tx.guard(func() error { return writeBackup(&s.ops, tx.btx, path) })
	})
}

// Backup is Store.Backup for a state directory that no daemon uses.
func Backup(ctx context.Context, dir, path string) error {
	s, err := attach(ctx, dir)
	if err != nil {
		return err
	}
	defer s.lock.Close()
	if err := checkPages(ctx, s.dbPath()); err != nil {
		return err
	}
	return readDB(s.dbPath(), func(tx *bolt.Tx) error {
		if err := checkRecords(ctx, s.dbPath(), tx); err != nil {
			return err
		}
		return writeBackup(&s.ops, tx, path)
	})
}

func writeBackup(o *ops, tx *bolt.Tx, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("backup: %s is there already: %w; write another name, or move that file away", path, fs.ErrExist)
	}
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	_, err = tx.WriteTo(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = o.publish(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp)
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}
