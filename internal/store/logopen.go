package store

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/internal/failpoint"
)

// CreateLog makes a new log; uid is the transfer's, name a word. It is an error
// that is fs.ErrExist when there is one. Its existence is durable after the
// first Sync.
func (s *Store) CreateLog(role Role, uid, name string) (*Log, error) {
	path, err := s.startLog(role, uid, name)
	if err != nil {
		return nil, err
	}
	if _, err := s.LogDir(role, uid); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		if isNoSpace(err) {
			err = fmt.Errorf("%w in %s: %w", ErrNoSpace, s.dir, err)
		}
		return nil, fmt.Errorf("create log: %w", err)
	}
	failpoint.Hit("store/log-created")
	l := s.newLog(path, f)
	if err := l.begin0(role, uid, name); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	return l, s.track(l)
}

// OpenLog opens a log and reads all of it. What a crash left half written at
// its end is cut off, with a warning. Errors: one that is fs.ErrNotExist,
// DamagedError, ForeignError, FormatError.
func (s *Store) OpenLog(role Role, uid, name string) (*Log, error) {
	path, err := s.startLog(role, uid, name)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l := s.newLog(path, f)
	if err := l.recover(role, uid, name); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, s.track(l)
}

func (s *Store) startLog(role Role, uid, name string) (string, error) {
	if err := s.usable(); err != nil {
		return "", err
	}
	return s.logPath(role, uid, name)
}

func (s *Store) newLog(path string, f *os.File) *Log {
	return &Log{s: s, path: path, f: f, syncing: make(chan struct{}, 1)}
}

// track lets Close of the store find the log.
func (s *Store) track(l *Log) error {
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.logs[l] = struct{}{}
	}
	s.mu.Unlock()
	if closed {
		return errors.Join(ErrClosed, l.Close())
	}
	return nil
}

// begin0 writes the header of an empty log and syncs it: a log with frames has
// a whole header, whatever reached the disk of them.
func (l *Log) begin0(role Role, uid, name string) error {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	h := logHeader{salt: binary.LittleEndian.Uint64(b[:]), node: l.s.opt.NodeID, uid: uid, name: string(role) + "/" + name}
	l.size, l.blocks = 0, 0
	if err := l.write(h.append(nil)); err != nil {
		return err
	}
	if err := l.s.ops.syncData(l.f); err != nil {
		return l.s.fail(fmt.Errorf("sync %s: %w", l.path, err))
	}
	failpoint.Hit("store/log-begun")
	l.salt, l.base, l.end = h.salt, l.size, l.size
	return nil
}

// recover reads the log and finds its end.
func (l *Log) recover(role Role, uid, name string) error {
	st, err := l.f.Stat()
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	size := st.Size()
	head := make([]byte, min(size, maxHeader))
	if err := l.pread(head, 0); err != nil {
		return err
	}
	h, format, err := parseLogHeader(head)
	if err != nil {
		return l.recoverHeader(role, uid, name, size)
	}
	switch {
	case format != logFormat:
		return &FormatError{Dir: l.path, Format: format, MinReader: format, Known: logFormat}
	case h.node != l.s.opt.NodeID:
		return &ForeignError{Path: l.path, What: "node", Have: h.node, Want: l.s.opt.NodeID}
	case h.uid != uid || h.name != string(role)+"/"+name:
		return damaged(l.path, 0, "it is the log %s of transfer %s", h.name, h.uid)
	}
	l.salt, l.base = h.salt, int64(h.size())
	l.end = l.base
	sc := newScanner(l, l.base, size)
	for {
		typ, payload, off, err := sc.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, errBadFrame) {
			if err := l.cut(off, size); err != nil {
				return err
			}
			size = off
			break
		}
		if err != nil {
			return err
		}
		if typ == frameMark {
			if len(payload) == 8 {
				l.synced = max(l.synced, int64(binary.LittleEndian.Uint64(payload)))
			}
			continue
		}
		l.end = sc.off
	}
	l.size, l.blocks = size, size
	return nil
}

// recoverHeader handles a log without a whole header: either a crash came while
// it was made, or it is damaged. The header is synced before the first frame is
// written.
func (l *Log) recoverHeader(role Role, uid, name string, size int64) error {
	want := logHeader{node: l.s.opt.NodeID, uid: uid, name: string(role) + "/" + name}
	if size > int64(want.size()) {
		return damaged(l.path, 0, "its header is damaged")
	}
	if l.look {
		return nil
	}
	l.s.log.Warn("log was just being made, begun anew", "path", l.path, "bytes", size)
	if err := retry(func() error { return unix.Ftruncate(int(l.f.Fd()), 0) }); err != nil {
		return l.s.fail(fmt.Errorf("truncate %s: %w", l.path, err))
	}
	return l.begin0(role, uid, name)
}

// cut decides about the bad frame at off. When a later mark says that it was
// durable, it is damage. Otherwise it is the end of what reached the disk:
// blocks that were not synced get there in any order, so good frames may follow.
func (l *Log) cut(off, size int64) error {
	marked := l.synced
	later := 0
	sc := newScanner(l, off+1, size)
	for {
		typ, payload, _, err := sc.resync()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		later++
		if typ == frameMark && len(payload) == 8 {
			marked = max(marked, int64(binary.LittleEndian.Uint64(payload)))
		}
	}
	if marked > off {
		return damaged(l.path, off, "a frame is bad, and all before offset %d was synced", marked)
	}
	if l.look {
		return nil
	}
	l.s.log.Warn("end of log cut off, it was not synced", "path", l.path, "offset", off, "bytes", size-off, "frames", later)
	if err := retry(func() error { return unix.Ftruncate(int(l.f.Fd()), off) }); err != nil {
		return l.s.fail(fmt.Errorf("truncate %s: %w", l.path, err))
	}
	if err := l.s.ops.syncFile(l.f); err != nil {
		return l.s.fail(fmt.Errorf("sync %s: %w", l.path, err))
	}
	return nil
}
