package manifest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/transfer"
)

// frameEntry is the type of the log's frames; each holds one entry.
const frameEntry = 1

// Log is the manifest of one transfer on disk: entries numbered from 0. One
// goroutine appends; any may read meanwhile.
type Log struct {
	log   *store.Log
	index *index // offset of each entry
	dirs  *index // offset of each directory

	mu     sync.Mutex
	buf    []byte // encodings of the last append
	frames []store.Frame
	offs   []int64 // scratch
	broken error   // the index lacks entries that the log has
}

// Create makes an empty manifest log.
func Create(s *store.Store, role store.Role, uid, name string) (*Log, error) {
	l, err := s.CreateLog(role, uid, name)
	if err != nil {
		return nil, err
	}
	return start(s, role, uid, name, l)
}

// Open opens a manifest log and reads all of it, to make the index anew: an
// index is never trusted over a restart. Errors are those of store.OpenLog, and
// store.DamagedError when the entries are not numbered from 0.
func Open(s *store.Store, role store.Role, uid, name string) (*Log, error) {
	l, err := s.OpenLog(role, uid, name)
	if err != nil {
		return nil, err
	}
	return start(s, role, uid, name, l)
}

func start(s *store.Store, role store.Role, uid, name string, l *store.Log) (*Log, error) {
	dir, err := s.LogDir(role, uid)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	m := &Log{log: l}
	if m.index, err = newIndex(dir, name+".entries"); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if m.dirs, err = newIndex(dir, name+".dirs"); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	if err := m.rebuild(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// rebuild fills the index from the log.
func (m *Log) rebuild() error {
	err := m.log.Read(0, func(off int64, typ uint8, payload []byte) error {
		e, err := decodeFrame(typ, payload)
		if err != nil {
			return err
		}
		if e.Number != m.index.len() {
			return fmt.Errorf("%w: entry %d where %d should be", ErrMalformed, e.Number, m.index.len())
		}
		if err := m.index.add(off); err != nil {
			return err
		}
		if e.Kind == transfer.KindDir {
			return m.dirs.add(off)
		}
		return nil
	})
	if errors.Is(err, ErrMalformed) || errors.Is(err, ErrEntry) || errors.Is(err, ErrName) || errors.Is(err, ErrReserved) {
		err = &store.DamagedError{Path: m.log.Path(), Offset: -1, Err: err}
	}
	if err != nil {
		return err
	}
	return errors.Join(m.index.flush(), m.dirs.flush())
}

func decodeFrame(typ uint8, payload []byte) (transfer.Entry, error) {
	if typ != frameEntry {
		return transfer.Entry{}, fmt.Errorf("%w: frame of type %d", ErrMalformed, typ)
	}
	e, rest, err := DecodeEntry(payload)
	if err == nil && len(rest) != 0 {
		err = fmt.Errorf("%w: %d bytes after an entry", ErrMalformed, len(rest))
	}
	return e, err
}

// Append adds entries, which must be numbered on from Len. It is one write(2)
// to the log for each 1024 of them or 512 KiB, and durable after Sync. After an error that
// is store.ErrNoSpace the same entries may be given again; when the index could
// not be written every further Append fails, until the log is opened anew.
func (m *Log) Append(entries []transfer.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return m.broken
	}
	for len(entries) > 0 {
		n, size := 0, 0
		for n < min(len(entries), maxAppend) && size < maxAppendBytes {
			size += roughSize(&entries[n])
			n++
		}
		if err := m.append(entries[:n]); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// What goes into one write(2), so that its memory stays bounded.
const (
	maxAppend      = 1024
	maxAppendBytes = 512 << 10
)

// roughSize is about what an entry takes.
func roughSize(e *transfer.Entry) int {
	n := 64 + len(e.Name) + len(e.Link)
	for i := range e.Meta.Xattrs {
		n += len(e.Meta.Xattrs[i].Name) + len(e.Meta.Xattrs[i].Value)
	}
	return n
}

func (m *Log) append(entries []transfer.Entry) error {
	next := m.index.len()
	m.buf, m.frames, m.offs = m.buf[:0], m.frames[:0], m.offs[:0]
	for i := range entries {
		e := &entries[i]
		if e.Number != next+uint64(i) {
			return fmt.Errorf("%w: number %d, want %d", ErrEntry, e.Number, next+uint64(i))
		}
		if err := CheckEntry(e); err != nil {
			return err
		}
		m.offs = append(m.offs, int64(len(m.buf)))
		m.buf = AppendEntry(m.buf, e)
	}
	for i, at := range m.offs {
		end := int64(len(m.buf))
		if i+1 < len(m.offs) {
			end = m.offs[i+1]
		}
		m.frames = append(m.frames, store.Frame{Type: frameEntry, Payload: m.buf[at:end]})
	}
	off, err := m.log.AppendBatch(m.frames)
	if cap(m.buf) > 1<<20 {
		m.buf = nil
	}
	if err != nil {
		return err
	}
	for i := range entries {
		if entries[i].Kind == transfer.KindDir {
			err = errors.Join(err, m.dirs.add(off))
		}
		err = errors.Join(err, m.index.add(off))
		off += store.FrameOverhead + int64(len(m.frames[i].Payload))
	}
	m.broken = errors.Join(err, m.dirs.flush(), m.index.flush())
	return m.broken
}

// Len returns the number of entries.
func (m *Log) Len() uint64 { return m.index.flushed() }

// Dirs returns the number of directories among them.
func (m *Log) Dirs() uint64 { return m.dirs.flushed() }

// Entry returns the entry of a number below Len.
func (m *Log) Entry(n uint64) (transfer.Entry, error) {
	off, err := m.index.at(n)
	if err != nil {
		return transfer.Entry{}, err
	}
	e, err := m.readAt(off)
	if err == nil && e.Number != n {
		err = &store.DamagedError{Path: m.log.Path(), Offset: off, Detail: fmt.Sprintf("entry %d where %d should be", e.Number, n)}
	}
	return e, err
}

func (m *Log) readAt(off int64) (transfer.Entry, error) {
	var b [512]byte
	typ, payload, err := m.log.ReadAt(off, b[:])
	if err != nil {
		return transfer.Entry{}, err
	}
	return decodeFrame(typ, payload)
}

// Range calls yield for the entries numbered from up to, but not including, to,
// in order; those that do not exist yet are left out. The entry is yield's to
// keep. An error of yield ends the walk and is returned.
func (m *Log) Range(from, to uint64, yield func(e *transfer.Entry) error) error {
	to = min(to, m.Len())
	if from >= to {
		return nil
	}
	off, err := m.index.at(from)
	if err != nil {
		return err
	}
	next := from
	err = m.log.Read(off, func(_ int64, typ uint8, payload []byte) error {
		if next == to {
			return errStop
		}
		e, err := decodeFrame(typ, payload)
		if err != nil {
			return err
		}
		if e.Number != next {
			return fmt.Errorf("%w: entry %d where %d should be", ErrMalformed, e.Number, next)
		}
		next++
		return yield(&e)
	})
	if err == errStop {
		return nil
	}
	return err
}

var errStop = errors.New("stop")

// DirsBackward calls yield for the directories, the last one first, so that a
// directory comes after all that are below it. An error of yield ends the walk
// and is returned.
func (m *Log) DirsBackward(yield func(e *transfer.Entry) error) error {
	for n := m.Dirs(); n > 0; n-- {
		off, err := m.dirs.at(n - 1)
		if err != nil {
			return err
		}
		e, err := m.readAt(off)
		if err != nil {
			return err
		}
		if err := yield(&e); err != nil {
			return err
		}
	}
	return nil
}

// Sync returns when everything appended before the call is durable.
func (m *Log) Sync(ctx context.Context) error { return m.log.Sync(ctx) }

// Close closes the files, without a sync. It is idempotent.
func (m *Log) Close() error {
	err := m.log.Close()
	for _, x := range []*index{m.index, m.dirs} {
		if x != nil {
			err = errors.Join(err, x.close())
		}
	}
	return err
}
