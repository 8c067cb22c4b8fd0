package store

import (
	"errors"
	"fmt"
	"os"
	"time"

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
	if free >= roomy && s.full.Load() == nil {
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
	return s.setFull(err)
}

// Full is since when something did not fit into the state directory, and what.
type Full struct {
	Since time.Time
	Err   error
}

// Full returns nil while the state directory has room, as far as it is known: from
// the first thing that did not fit until Room finds that there is some again.
func (s *Store) Full() *Full { return s.full.Load() }

// setFull notes that something did not fit, or with nil that there is room, returns
// the error, and says once in the log that it begins and that it ends.
func (s *Store) setFull(err error) error {
	if err == nil {
		if before := s.full.Swap(nil); before != nil {
			s.log.Warn("there is room in state_dir again", "dir", s.dir, "after", time.Since(before.Since).Round(time.Second))
		}
		return nil
	}
	if s.full.CompareAndSwap(nil, &Full{Since: time.Now(), Err: err}) {
		s.log.Warn("no room in state_dir: new transfers are refused, and those that run wait; free space there", "dir", s.dir, "err", err)
	}
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
