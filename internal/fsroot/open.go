package fsroot

import (
	"golang.org/x/sys/unix"
)

// Open opens a regular file for reading; anything else is ErrNotRegular, and a
// FIFO never blocks.
func (d *Dir) Open(name string) (*File, error) {
	fd, err := openRegular(d.fd, name, unix.O_RDONLY)
	if err != nil {
		return nil, d.at(name).fail("open", err)
	}
	return d.newFile(fd, name), nil
}

// OpenWrite opens an existing regular file for reading and writing, as it is.
func (d *Dir) OpenWrite(name string) (*File, error) {
	if err := d.writable("open", name); err != nil {
		return nil, err
	}
	fd, err := openRegular(d.fd, name, unix.O_RDWR)
	if err != nil {
		return nil, d.at(name).fail("open", err)
	}
	return d.newFile(fd, name), nil
}

// Create makes a file and opens it for reading and writing. The name must not
// exist: EEXIST, for a symbolic link too. perm is subject to the umask.
func (d *Dir) Create(name string, perm uint32) (*File, error) {
	if err := d.writable("create", name); err != nil {
		return nil, err
	}
	fd, err := openat(d.fd, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, perm&0o7777)
	if err != nil {
		return nil, d.at(name).fail("create", d.full(err))
	}
	return d.newFile(fd, name), nil
}

// ReadSmall reads a whole small file into buf and tells about the file as it
// was after the read. n is len(buf) if the file is at least that long; a file
// that changes meanwhile shows in n != info.Size, or in the times. It does not
// allocate unless it fails. Not regular: ErrNotRegular, and nothing was read.
func (d *Dir) ReadSmall(name string, buf []byte) (n int, info Info, err error) {
	fd, err := openat(d.fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, info, d.at(name).fail("open", notRegular(err))
	}
	n, err = readSmall(fd, buf, &info)
	unix.Close(fd)
	if err != nil {
		return n, info, d.at(name).fail("read", err)
	}
	return n, info, nil
}

func readSmall(fd int, buf []byte, info *Info) (n int, err error) {
	var st unix.Stat_t
	// Asked before as well: a read from a FIFO takes bytes away from others.
	if err := fstat(fd, &st); err != nil {
		return 0, err
	}
	if err := regular(&st); err != nil {
		return 0, err
	}
	for n < len(buf) {
		m, err := unix.Read(fd, buf[n:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return n, err
		}
		n += m
		// A read that is short of the buffer and ends where the size said needs no
		// other one to find the end.
		if m == 0 || int64(n) == st.Size {
			break
		}
	}
	if err := fstat(fd, &st); err != nil {
		return n, err
	}
	info.set(&st)
	return n, nil
}

// openRegular opens without following and without blocking.
func openRegular(dirfd int, name string, flags int) (int, error) {
	fd, err := openat(dirfd, name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return -1, notRegular(err)
	}
	return keepRegular(fd)
}

// keepRegular closes fd again if it is not a regular file, and makes it
// blocking, which a *os.File takes as "no poller".
func keepRegular(fd int) (int, error) {
	var st unix.Stat_t
	err := fstat(fd, &st)
	if err == nil {
		err = regular(&st)
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, 0)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// notRegular gives the errors by which open(2) itself refuses what is not a
// regular file their name.
func notRegular(err error) error {
	switch err {
	case unix.ELOOP:
		return errIsSymlink
	case unix.EISDIR:
		return errIsDir
	case unix.ENXIO, unix.ENODEV: // a socket; a FIFO or device without its other end
		return errIsSpecial
	}
	return err
}
