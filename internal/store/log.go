package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/internal/failpoint"
)

// Log is an append-only file of frames. It is safe for concurrent use.
type Log struct {
	s    *Store
	path string
	salt uint64
	base int64 // offset of the first frame

	f    *os.File
	life life
	look bool // for a report only: nothing is changed

	mu       sync.Mutex
	size     int64  // where the next frame goes
	end      int64  // end of the last frame that is not a mark
	blocks   int64  // the file has blocks up to here, as far as is known
	noBlocks bool   // they cannot be reserved on this file system
	buf      []byte // of the last append, reused

	syncing chan struct{} // holds one token while a sync runs
	synced  int64         // guarded by mu: everything before it is durable
	named   bool          // guarded by syncing: the names up to the file are durable
}

const (
	minLogStep = 64 << 10
	maxLogStep = 4 << 20
	maxKeptBuf = 1 << 20
)

// Append writes one frame with one write(2) and returns its offset. It is
// durable after Sync. Errors: ErrNoSpace when there is no room (nothing was
// written), FailedError, ErrClosed.
func (l *Log) Append(typ uint8, payload []byte) (offset int64, err error) {
	return l.AppendBatch([]Frame{{typ, payload}})
}

// AppendBatch writes frames with one write(2), all or none as long as the
// process lives, and returns the offset of the first; each next one is
// FrameOverhead and the length of the payload further on. A crash may leave
// the first few of them.
func (l *Log) AppendBatch(frames []Frame) (offset int64, err error) {
	for i := range frames {
		if frames[i].Type == frameMark {
			return 0, errType
		}
		if n := len(frames[i].Payload); n > MaxPayload {
			return 0, fmt.Errorf("%w: %d bytes", errPayload, n)
		}
	}
	if err := l.begin(); err != nil {
		return 0, err
	}
	defer l.life.leave()
	l.mu.Lock()
	defer l.mu.Unlock()
	offset = l.size
	buf := l.buf[:0]
	for i := range frames {
		buf = appendFrame(buf, l.salt, offset+int64(len(buf)), frames[i].Type, frames[i].Payload)
	}
	if cap(buf) <= maxKeptBuf {
		l.buf = buf[:0]
	}
	failpoint.Hit("store/append")
	if err := l.write(buf); err != nil {
		return 0, err
	}
	failpoint.Hit("store/appended")
	l.end = l.size
	return offset, nil
}

// begin guards a use of the file; on nil the caller ends it with life.leave.
func (l *Log) begin() error {
	if err := l.s.usable(); err != nil {
		return err
	}
	if !l.life.enter() {
		return ErrClosed
	}
	return nil
}

// write puts b at the end of the file, all of it or nothing. mu is held.
func (l *Log) write(b []byte) error {
	if err := l.reserve(int64(len(b))); err != nil {
		return err
	}
	off := l.size
	for rest := b; len(rest) > 0; {
		n, err := l.s.ops.write(int(l.f.Fd()), rest, off)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err == nil && n == 0:
			err = io.ErrShortWrite
		}
		if err == nil {
			rest, off = rest[n:], off+int64(n)
			continue
		}
		if isNoSpace(err) {
			// Where blocks cannot be reserved, the write is what finds out. What
			// it wrote is taken back.
			terr := retry(func() error { return unix.Ftruncate(int(l.f.Fd()), l.size) })
			if terr == nil {
				return l.s.setFull(fmt.Errorf("%w: write %s: %w", ErrNoSpace, l.path, err))
			}
			err = errors.Join(err, terr)
		}
		return l.s.fail(fmt.Errorf("write %s: %w", l.path, err))
	}
	l.size = off
	return nil
}

// reserve makes sure that the file has blocks for n more bytes.
func (l *Log) reserve(n int64) error {
	need := l.size + n
	if need <= l.blocks || l.noBlocks {
		return nil
	}
	step := min(max(l.size/4, minLogStep), maxLogStep)
	err := l.s.ops.fallocate(l.f, unix.FALLOC_FL_KEEP_SIZE, l.blocks, need+step-l.blocks)
	if isNoSpace(err) {
		step = 0
		err = l.s.ops.fallocate(l.f, unix.FALLOC_FL_KEEP_SIZE, l.blocks, need-l.blocks)
	}
	switch {
	case err == nil:
		l.blocks = need + step
		return nil
	case isNoSpace(err):
		return l.s.setFull(fmt.Errorf("%w: %s: %w", ErrNoSpace, l.path, err))
	default: // no fallocate here: the write will tell
		l.noBlocks = true
		return nil
	}
}

// Path returns the log's file, for messages.
func (l *Log) Path() string { return l.path }

// Size returns the offset after the last frame: what Read reads up to, and what
// a Sync now would make durable.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end
}

// Sync returns when everything that was appended before the call is durable.
// Concurrent callers share an fdatasync. Errors are FailedError (the frames are
// then in an unknown state, for good), ErrClosed, and that of ctx.
func (l *Log) Sync(ctx context.Context) error {
	if err := l.begin(); err != nil {
		return err
	}
	defer l.life.leave()
	l.mu.Lock()
	target := l.end
	done := l.synced >= target
	l.mu.Unlock()
	if done {
		return nil
	}
	select {
	case l.syncing <- struct{}{}:
		defer func() { <-l.syncing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := l.s.usable(); err != nil {
		return err // the sync that was waited for failed
	}
	l.mu.Lock()
	upTo := l.end
	done = l.synced >= target
	l.mu.Unlock()
	if done {
		return nil
	}
	failpoint.Hit("store/sync")
	if err := l.s.ops.syncData(l.f); err != nil {
		return l.s.fail(fmt.Errorf("sync %s: %w", l.path, err))
	}
	if !l.named {
		err := l.syncNames()
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("log was removed: %w", err)
		}
		if err != nil {
			return l.s.fail(fmt.Errorf("sync the name of %s: %w", l.path, err))
		}
		l.named = true
	}
	failpoint.Hit("store/synced")
	return l.mark(upTo)
}

// syncNames makes the entries of the file and its directories durable.
func (l *Log) syncNames() error {
	for dir := filepath.Dir(l.path); ; dir = filepath.Dir(dir) {
		if err := l.s.syncDir(dir); err != nil {
			return err
		}
		if dir == l.s.dir {
			return nil
		}
	}
}

// mark notes in the log that everything before upTo is durable, so that a later
// open knows damage from a tail that never reached the disk.
func (l *Log) mark(upTo int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.synced = max(l.synced, upTo)
	if l.s.opt.NoSync {
		return nil
	}
	var p [8]byte
	binary.LittleEndian.PutUint64(p[:], uint64(upTo))
	buf := appendFrame(l.buf[:0], l.salt, l.size, frameMark, p[:])
	l.buf = buf[:0]
	if err := l.write(buf); err != nil && !errors.Is(err, ErrNoSpace) {
		return err
	}
	return nil
}

// Close closes the file without a sync. It waits for the calls that run, so it
// must not be called from the function given to Read; it is idempotent.
func (l *Log) Close() error {
	if !l.life.end() {
		return nil
	}
	l.s.mu.Lock()
	delete(l.s.logs, l)
	l.s.mu.Unlock()
	// Give the reserved blocks back; when that fails they go with the file.
	if l.blocks > l.size {
		_ = retry(func() error { return unix.Ftruncate(int(l.f.Fd()), l.size) })
	}
	return l.f.Close()
}
