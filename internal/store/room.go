package store

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	roomy = 64 << 20 // bytes free on the file system with which nothing is tried out
	// roomNeeded is what the journals of a transfer and a change of the tables
	// take at once.
	roomNeeded = growStep
)

// Room returns nil while the state directory has room for what transfers note
// there, and otherwise why not: ErrNoSpace, or that nothing can be written. It
// keeps nothing. Where little is free, or something did not fit since it was
// asked last, it makes a file without a name and lets it go again.
func (s *Store) Room() error {
	if err := s.usable(); err != nil {
		return err
	}
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Statfs(s.dir, &st) }); err != nil {
		return fmt.Errorf("state directory %s: %w", s.dir, err)
	}
	free := int64(st.Bavail) * int64(st.Bsize)
	if free >= roomy && !s.full.Load() {
		return nil
	}
	err := s.tryRoom()
	switch {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EISDIR), errors.Is(err, unix.EINVAL):
		// Nothing can be tried out here: believe the number.
		if err = nil; free < spareSpace {
			err = fmt.Errorf("%w in %s: %d bytes are free", ErrNoSpace, s.dir, free)
		}
	case isNoSpace(err):
		err = fmt.Errorf("%w in %s: %w", ErrNoSpace, s.dir, err)
	case err == nil && s.copies.Load() && free < spareSpace:
		err = fmt.Errorf("%w in %s: %d bytes are free", ErrNoSpace, s.dir, free)
	}
	s.full.Store(err != nil)
	return err
}

// tryRoom asks for blocks of a file that has no name.
func (s *Store) tryRoom() error {
	fd, err := unix.Open(s.dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "room")
	err = s.ops.fallocate(f, 0, 0, roomNeeded)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
