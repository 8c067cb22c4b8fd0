package fsroot

import (
	"golang.org/x/sys/unix"
)

// Truncate sets the size; what it adds is a hole.
func (f *File) Truncate(size int64) error {
	err := retry(func() error { return unix.Ftruncate(f.fd, size) })
	return f.where.wrap("truncate", err)
}

// A signal makes tmpfs give back all that one fallocate(2) has done, so a large
// one could starve: after some tries it goes in steps. Not at once, for the
// kernel refuses a length that can never fit only when it sees the whole of it,
// and steps would fill the disk first.
const (
	allocateTries = 8
	allocateStep  = 64 << 20
)

// Allocate reserves space for a range, so that writing there cannot run out of
// it, and raises the size to the end of the range. ErrUnsupported where the
// file system cannot. After an error part of the space may be taken.
func (f *File) Allocate(off, length int64) error {
	if length == 0 {
		return nil
	}
	err := unix.Fallocate(f.fd, 0, off, length)
	for tries := 1; err == unix.EINTR && tries < allocateTries; tries++ {
		err = unix.Fallocate(f.fd, 0, off, length)
	}
	if err == unix.EINTR {
		err = f.allocateSteps(off, length)
	}
	return f.where.wrap("allocate", err)
}

func (f *File) allocateSteps(off, length int64) error {
	for end := off + length; off < end; {
		step := min(allocateStep, end-off)
		if err := retry(func() error { return unix.Fallocate(f.fd, 0, off, step) }); err != nil {
			return err
		}
		off += step
	}
	return nil
}

// Punch makes a range a hole and keeps the size. ErrUnsupported where the file
// system cannot.
func (f *File) Punch(off, length int64) error {
	if length == 0 {
		return nil
	}
	err := retry(func() error {
		return unix.Fallocate(f.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, length)
	})
	return f.where.wrap("punch", err)
}

// DataRanges gives the parts of [off, end) that may have bytes other than zero,
// in order and without overlap, and stops at the end of the file. Where the
// file system knows no holes it is one range. It moves the position of the
// descriptor, which nothing here uses.
func (f *File) DataRanges(off, end int64, yield func(off, length int64) error) error {
	for off < end {
		data, err := f.seek(off, unix.SEEK_DATA)
		switch err {
		case nil:
		case unix.ENXIO: // no data from here on, or past the end
			return nil
		case unix.EINVAL, unix.EOPNOTSUPP:
			return f.oneRange(off, end, yield)
		default:
			return f.where.fail("seek data", err)
		}
		if data >= end {
			return nil
		}
		hole, err := f.seek(data, unix.SEEK_HOLE)
		switch err {
		case nil:
		case unix.ENXIO: // cut off in between
			return nil
		default:
			return f.where.fail("seek hole", err)
		}
		hole = min(hole, end)
		if hole <= data { // the file changes under us
			return nil
		}
		if err := yield(data, hole-data); err != nil {
			return err
		}
		off = hole
	}
	return nil
}

func (f *File) oneRange(off, end int64, yield func(off, length int64) error) error {
	info, err := f.Info()
	if err != nil {
		return err
	}
	if end = min(end, info.Size); off >= end {
		return nil
	}
	return yield(off, end-off)
}

func (f *File) seek(off int64, whence int) (pos int64, err error) {
	err = retry(func() (err error) {
		pos, err = unix.Seek(f.fd, off, whence)
		return err
	})
	return pos, err
}

// retry repeats a call that a signal interrupts and that may be repeated.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
