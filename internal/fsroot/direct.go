package fsroot

import (
	"golang.org/x/sys/unix"
)

// DirectUnit is what a direct read counts in: its offset, its length and its
// memory are multiples of it.
const DirectUnit = 4096

// Direct takes the pages of the file out of the page cache, as far as they are
// written, and makes reads from now on go past it, to what lies below the file
// system; ErrUnsupported where the file system cannot. Read with PreadDirect
// then.
func (f *File) Direct() error {
	if err := f.Uncache(); err != nil {
		return err
	}
	flags, err := unix.FcntlInt(uintptr(f.fd), unix.F_GETFL, 0)
	if err == nil {
		_, err = unix.FcntlInt(uintptr(f.fd), unix.F_SETFL, flags|unix.O_DIRECT)
	}
	if err == unix.EINVAL {
		err = ErrUnsupported
	}
	return f.where.wrap("read directly from", err)
}

// Uncache asks the kernel to forget the pages of the file that are written, so that what
// is read next is what lies below the file system. It need not do so.
func (f *File) Uncache() error {
	return f.where.wrap("drop the cache of", unix.Fadvise(f.fd, 0, 0, unix.FADV_DONTNEED))
}

// PreadDirect is Pread after Direct. b is of whole DirectUnits, as is off. Less
// than that was read at the end of the file only.
func (f *File) PreadDirect(b []byte, off int64) (n int, err error) {
	for n < len(b) {
		m, err := unix.Pread(f.fd, b[n:], off+int64(n))
		if err == unix.EINTR {
			continue
		}
		if err == unix.EINVAL {
			err = ErrUnsupported // after all: it has larger units
		}
		if err != nil {
			return n, f.where.fail("read directly from", err)
		}
		n += m
		if m == 0 || m%DirectUnit != 0 {
			break
		}
	}
	return n, nil
}
