package fsroot

import (
	"golang.org/x/sys/unix"
)

// RemoveAll removes name and, if it is a directory, everything in it. It never
// follows a symbolic link, also not one that is put in the way meanwhile, and
// does not go into what is mounted below (EBUSY). A name that does not exist is
// no error. It stops at the first error, with the rest in place.
func (d *Dir) RemoveAll(name string) error {
	if err := d.writable("remove", name); err != nil {
		return err
	}
	subdir, err := removeName(d.fd, name)
	if err == nil && subdir {
		r := remover{base: d.fd, root: d.root}
		err = r.run(name)
		r.closeAll()
	}
	return d.at(name).wrap("remove", err)
}

// removeName unlinks a name, or says that it is a directory.
func removeName(dirfd int, name string) (subdir bool, err error) {
	switch err = unlinkat(dirfd, name, 0); err {
	case nil, unix.ENOENT:
		return false, nil
	case unix.EISDIR:
		return true, nil
	case unix.EPERM: // what POSIX wants for directories, but also a real refusal
		var st unix.Stat_t
		if e := fstatat(dirfd, name, &st); e == nil && kindOf(uint32(st.Mode)) == Directory {
			return true, nil
		}
	}
	return false, err
}

// maxOpenLevels bounds the descriptors of one removal. Deeper trees are walked
// again from the top when it comes back up.
const maxOpenLevels = 64

const maxPasses = 100 // over one directory

// remover takes a tree apart, depth first.
type remover struct {
	base   int // the directory that holds the first level's name; not ours
	root   *Root
	levels []level
}

// level is one directory on the way down.
type level struct {
	name    string
	id      identity
	fd      int      // -1 while it is closed
	pending []string // directories of the last batch that are still to go
	removed bool     // something went since the last pass from the start
	passes  int
}

func (r *remover) closeAll() {
	for _, l := range r.levels {
		if l.fd >= 0 {
			unix.Close(l.fd)
		}
	}
}

func (r *remover) run(name string) error {
	if err := r.down(r.base, name); err != nil {
		return err
	}
	for len(r.levels) > 0 {
		l := &r.levels[len(r.levels)-1]
		if l.fd < 0 {
			if err := r.reopen(); err != nil {
				return err
			}
		}
		if n := len(l.pending); n > 0 {
			next := l.pending[n-1]
			l.pending = l.pending[:n-1]
			if err := r.down(l.fd, next); err != nil {
				return err
			}
			continue
		}
		more, err := r.batch(l)
		if err != nil {
			return err
		}
		if !more {
			if err := r.up(); err != nil {
				return err
			}
		}
	}
	return nil
}

// down enters a directory. One that is gone, or that has become something else,
// is dealt with here.
func (r *remover) down(dirfd int, name string) error {
	fd, err := openat(dirfd, name, dirFlags|unix.O_NOFOLLOW, 0)
	switch err {
	case nil:
	case unix.ENOENT:
		return nil
	case unix.ENOTDIR, unix.ELOOP: // exchanged since: remove the thing itself
		subdir, err := removeName(dirfd, name)
		if err == nil && subdir {
			err = unix.EAGAIN // and back again; somebody plays with it
		}
		return err
	default:
		return err
	}
	id, err := r.mayEnter(fd)
	if err != nil {
		unix.Close(fd)
		return err
	}
	r.levels = append(r.levels, level{name: name, id: id, fd: fd})
	if n := len(r.levels); n > maxOpenLevels {
		above := &r.levels[n-1-maxOpenLevels]
		if above.fd >= 0 {
			unix.Close(above.fd)
			above.fd = -1
		}
	}
	return nil
}

// mayEnter refuses mount points and read-only exports.
func (r *remover) mayEnter(fd int) (identity, error) {
	var st unix.Stat_t
	if err := fstat(fd, &st); err != nil {
		return identity{}, err
	}
	id := identityOf(&st)
	if r.root.isGuarded(id) {
		return id, ErrReadOnly
	}
	var stx unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, 0, &stx)
	if err == nil && stx.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		return id, unix.EBUSY
	}
	return id, nil
}

// batch removes what one getdents64(2) gives and notes the directories. more is
// false when there is nothing left to read.
func (r *remover) batch(l *level) (more bool, err error) {
	buf := direntPool.Get().(*[direntBuf]byte)
	defer direntPool.Put(buf)
	n, err := getdents(l.fd, buf[:])
	if err == unix.ENOENT { // removed by somebody else while open
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for rest := buf[:n]; len(rest) > 0; {
		raw, k, record := dirent(rest)
		if record == nil {
			return false, unix.EIO
		}
		rest = rest[len(record):]
		if raw == nil {
			continue
		}
		name, subdir := string(raw), k == Directory
		if !subdir {
			if subdir, err = removeName(l.fd, name); err != nil {
				return false, err
			}
		}
		if subdir {
			l.pending = append(l.pending, name)
		}
		l.removed = true
	}
	return n > 0, nil
}

// up removes the directory that is empty now and goes back to the one above.
// Some file systems skip names when others are removed while they are read;
// then it is not empty and is read once more, as long as that helps.
func (r *remover) up() error {
	n := len(r.levels) - 1
	l := &r.levels[n]
	above := r.base
	if n > 0 {
		if r.levels[n-1].fd < 0 {
			top := r.levels[n]
			r.levels = r.levels[:n]
			err := r.reopen()
			r.levels = append(r.levels, top)
			if err != nil {
				return err
			}
		}
		above = r.levels[n-1].fd
	}
	err := unlinkat(above, l.name, unix.AT_REMOVEDIR)
	switch err {
	case nil, unix.ENOENT:
	case unix.ENOTDIR: // exchanged since
		if _, err = removeName(above, l.name); err != nil {
			return err
		}
	case unix.ENOTEMPTY, unix.EEXIST:
		// Bounded, for somebody may fill it as fast as it is emptied.
		if l.passes++; !l.removed || l.passes > maxPasses {
			return err
		}
		l.removed = false
		_, err = unix.Seek(l.fd, 0, 0)
		return err
	default:
		return err
	}
	unix.Close(l.fd)
	r.levels = r.levels[:n]
	return nil
}

// reopen opens the deepest level again by walking down from the top, and makes
// sure that it is the directory it was.
func (r *remover) reopen() error {
	fd := r.base
	for i := range r.levels {
		next, err := openat(fd, r.levels[i].name, dirFlags|unix.O_NOFOLLOW, 0)
		if fd != r.base {
			unix.Close(fd)
		}
		if err != nil {
			return err
		}
		fd = next
		var st unix.Stat_t
		if err = fstat(fd, &st); err == nil && identityOf(&st) != r.levels[i].id {
			err = unix.ESTALE
		}
		if err != nil {
			unix.Close(fd)
			return err
		}
	}
	r.levels[len(r.levels)-1].fd = fd
	return nil
}
