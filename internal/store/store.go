package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"
)

// Options of Open.
type Options struct {
	NodeID  string // of this node; state of another is refused
	Cluster string // likewise
	Version string // of the program, kept for messages
	Log     *slog.Logger

	// Reserve is the size in bytes of the file whose space UpdateReserved may
	// use; 0 is 16 MiB, below 0 is none.
	Reserve int64

	// NoSync leaves out every sync. For tests and throw-away clusters only: a
	// power cut may then leave state that cannot be opened.
	NoSync bool

	compactFrom int64 // see wasteful; 0 is the default. For tests
}

const defaultReserve = 16 << 20

// Store is an open state directory. It is safe for concurrent use.
type Store struct {
	dir  string
	opt  Options
	log  *slog.Logger
	lock *os.File
	db   *bolt.DB
	head head
	ops  ops

	writer        chan struct{} // holds one token while a transaction runs
	queue         requestQueue
	space         space
	made, madeDir bool // by this Open, see Discard

	full   atomic.Pointer[Full] // something did not fit, see Room
	copies atomic.Bool          // blocks cannot be reserved: the file system copies on write

	mu     sync.Mutex
	closed bool
	wedged bool // bbolt panicked in a transaction: its locks are lost
	err    error
	failed chan struct{}
	logs   map[*Log]struct{}
}

// Open locks the directory, making it when there is none, checks what is in it,
// and raises the incarnation. It blocks up to a second for another process that
// is about to end. Errors: LockedError, FormatError, ForeignError,
// DamagedError, ErrNoSpace, and those of the file system.
func Open(ctx context.Context, dir string, o Options) (*Store, error) {
	if o.NodeID == "" || len(o.NodeID) > 255 {
		return nil, fmt.Errorf("store: node id of %d bytes, want 1 to 255", len(o.NodeID))
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Reserve == 0 {
		o.Reserve = defaultReserve
	}
	if o.compactFrom == 0 {
		o.compactFrom = compactFrom
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("state directory %q: %w", dir, err)
	}
	_, err = os.Lstat(abs)
	madeDir := errors.Is(err, fs.ErrNotExist)
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	s := &Store{
		dir: abs, opt: o, log: o.Log, madeDir: madeDir,
		ops:    realOps(o.NoSync),
		writer: make(chan struct{}, 1),
		failed: make(chan struct{}),
		logs:   make(map[*Log]struct{}),
	}
	if s.lock, err = lockDir(ctx, abs); err != nil {
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		if s.db != nil {
			_ = guard(s.dbPath(), s.db.Close)
		}
		s.space.close()
		return nil, errors.Join(err, s.lock.Close())
	}
	return s, nil
}

// open does what is left of Open after the lock was taken.
func (s *Store) open(ctx context.Context) error {
	path := s.dbPath()
	_, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := s.create(); err != nil {
			return err
		}
		s.made = true
	case err != nil:
		return fmt.Errorf("state directory: %w", err)
	}
	pages, err := readPages(ctx, path)
	if err != nil {
		return err
	}
	if err := s.inspect(ctx); err != nil {
		return err
	}
	if pages.wasteful(s.opt.compactFrom) {
		if err := s.compact(ctx); err != nil {
			return err
		}
	}
	if err := s.openDB(); err != nil {
		return err
	}
	if err := s.sweep(); err != nil {
		return err
	}
	s.space.open(s)
	return s.raise(ctx)
}

// Dir returns the absolute path of the state directory.
func (s *Store) Dir() string { return s.dir }

// Incarnation returns the number of this start. It rises with every Open and
// was synced before Open returned.
func (s *Store) Incarnation() uint64 { return s.head.incarnation }

// StateUUID names this state: it stays over restarts, and is another one after
// a backup was restored.
func (s *Store) StateUUID() string { return s.head.uuid }

// NodeID returns the node that the state belongs to.
func (s *Store) NodeID() string { return s.head.node }

// Failed returns a channel that is closed at the first write or sync error.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Err returns that error, a FailedError, and nil while there is none.
func (s *Store) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return nil
	}
	return &FailedError{Err: s.err}
}

// fail makes the store refuse everything from now on, and returns the error for
// the caller whose operation failed.
func (s *Store) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		close(s.failed)
		s.log.Error("state can no longer be written", "dir", s.dir, "error", err)
	}
	return &FailedError{Err: err}
}

// usable returns why the store cannot be used, nil when it can.
func (s *Store) usable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case s.err != nil:
		return &FailedError{Err: s.err}
	}
	return nil
}

// Close waits for the running transaction, closes the logs that are still open,
// and releases the directory. What was not synced stays unsynced. It is
// idempotent.
func (s *Store) Close() error {
	s.writer <- struct{}{}
	defer func() { <-s.writer }()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	wedged := s.wedged
	var open []*Log
	for l := range s.logs {
		open = append(open, l)
	}
	s.mu.Unlock()

	var errs []error
	for _, l := range open {
		errs = append(errs, l.Close())
	}
	if !wedged {
		errs = append(errs, guard(s.dbPath(), s.db.Close))
	}
	s.space.close()
	errs = append(errs, s.lock.Close())
	return errors.Join(errs...)
}

func (s *Store) dbPath() string { return filepath.Join(s.dir, "state.db") }
