package fsroot

import (
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// File is one open regular file. Reads and writes carry their offset and may be
// made from many goroutines; Close must come after all of them.
type File struct {
	fd       int
	where    place
	readOnly bool // of its directory: metadata can be set without a writable descriptor
	closed   atomic.Bool

	mu sync.Mutex // guards os
	os *os.File
}

func (d *Dir) newFile(fd int, name string) *File {
	return &File{fd: fd, where: d.at(name), readOnly: d.readOnly}
}

func (f *File) writable(op string) error {
	if f.readOnly {
		return f.where.fail(op, ErrReadOnly)
	}
	return nil
}

// Fd returns the descriptor, valid until Close.
func (f *File) Fd() int { return f.fd }

// Path returns the absolute path by which the file was opened.
func (f *File) Path() string { return f.where.String() }

// OS returns the same descriptor as an *os.File, made once and not known to the
// poller. It belongs to f: only f.Close closes it.
func (f *File) OS() *os.File {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.os == nil && !f.closed.Load() {
		f.os = os.NewFile(uintptr(f.fd), f.Path())
	}
	return f.os
}

// Close closes the descriptor. Later calls do nothing.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed.Swap(true) {
		return nil
	}
	if f.os != nil {
		return f.os.Close()
	}
	return f.where.wrap("close", unix.Close(f.fd))
}

// Info tells about the file as it is now.
func (f *File) Info() (info Info, err error) {
	var st unix.Stat_t
	if err := fstat(f.fd, &st); err != nil {
		return info, f.where.fail("stat", err)
	}
	info.set(&st)
	return info, nil
}

// Pread reads until b is full or the file ends. A short n without an error is
// the end of the file.
func (f *File) Pread(b []byte, off int64) (n int, err error) {
	for n < len(b) {
		m, err := unix.Pread(f.fd, b[n:], off+int64(n))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return n, f.where.fail("read", err)
		}
		if m == 0 {
			break
		}
		n += m
	}
	return n, nil
}

// Pwrite writes all of b, or returns an error and leaves any part of it written.
func (f *File) Pwrite(b []byte, off int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(f.fd, b, off)
		if err == unix.EINTR {
			continue
		}
		if err == nil && n == 0 {
			err = unix.EIO
		}
		if err != nil {
			return f.where.fail("write", err)
		}
		b, off = b[n:], off+int64(n)
	}
	return nil
}

// Sync makes the bytes and the metadata durable. After an error the file is
// lost: the kernel may have dropped the pages, and a second call may succeed
// without them.
func (f *File) Sync() error { return f.where.wrap("fsync", unix.Fsync(f.fd)) }

// Written waits for bytes that are on their way to the device, without sending any,
// and returns an error of those that were written since the file was opened; like Sync
// it tells one once. It does not flush the device. sync_file_range(2).
func (f *File) Written() error {
	return f.where.wrap("sync_file_range", unix.SyncFileRange(f.fd, 0, 0, unix.SYNC_FILE_RANGE_WAIT_BEFORE))
}

// SyncData is Sync without the metadata that reading does not need.
func (f *File) SyncData() error { return f.where.wrap("fdatasync", unix.Fdatasync(f.fd)) }
