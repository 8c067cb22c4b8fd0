package manifest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/internal/store"
)

// index is a file of 8-byte offsets. It is made anew at every open, from the
// log, and has no name any more once it is open: nothing of it is left behind.
type index struct {
	f    *os.File
	buf  []byte // not written yet
	n    uint64 // with those in buf
	done atomic.Uint64

	closing sync.Once
}

const indexBuffer = 64 << 10

func newIndex(dir, name string) (*index, error) {
	path := filepath.Join(dir, name)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("manifest index: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("manifest index: %w", spaceError(err))
	}
	if err := os.Remove(path); err != nil {
		return nil, errors.Join(fmt.Errorf("manifest index: %w", err), f.Close())
	}
	return &index{f: f}, nil
}

func spaceError(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w", store.ErrNoSpace, err)
	}
	return err
}

// len returns how many offsets were added.
func (x *index) len() uint64 { return x.n }

// flushed returns how many of them can be read.
func (x *index) flushed() uint64 { return x.done.Load() }

// add appends an offset. It is used by one goroutine.
func (x *index) add(off int64) error {
	x.buf = binary.LittleEndian.AppendUint64(x.buf, uint64(off))
	x.n++
	if len(x.buf) >= indexBuffer {
		return x.flush()
	}
	return nil
}

// flush makes what was added readable.
func (x *index) flush() error {
	if len(x.buf) == 0 {
		return nil
	}
	if _, err := x.f.WriteAt(x.buf, int64(x.done.Load())*8); err != nil {
		return fmt.Errorf("manifest index: %w", spaceError(err))
	}
	x.buf = x.buf[:0]
	x.done.Store(x.n)
	return nil
}

// at returns an offset that was flushed.
func (x *index) at(i uint64) (int64, error) {
	if i >= x.flushed() {
		return 0, fmt.Errorf("manifest has no entry %d", i)
	}
	var b [8]byte
	if _, err := x.f.ReadAt(b[:], int64(i)*8); err != nil {
		return 0, fmt.Errorf("manifest index: %w", err)
	}
	return int64(binary.LittleEndian.Uint64(b[:])), nil
}

func (x *index) close() (err error) {
	x.closing.Do(func() { err = x.f.Close() })
	return err
}
