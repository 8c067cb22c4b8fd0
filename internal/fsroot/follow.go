package fsroot

import (
	"golang.org/x/sys/unix"
)

// The methods here follow a symbolic link to its end inside the same export.
// Absolute targets that lie in the export are fine; leaving it is ErrEscapes. A
// loop, or more than 40 links, is ELOOP. What is not a link costs the same as
// in the methods that do not follow.

// FollowStat tells what name is, or what the link name leads to.
func (d *Dir) FollowStat(name string) (info Info, err error) {
	info, err = d.Lstat(name)
	if err != nil || info.Kind != Symlink {
		return info, err
	}
	fd, err := d.follow(name, unix.O_PATH)
	if err != nil {
		return info, d.at(name).fail("stat", err)
	}
	var st unix.Stat_t
	err = fstat(fd, &st)
	unix.Close(fd)
	if err != nil {
		return info, d.at(name).fail("stat", err)
	}
	info.set(&st)
	return info, nil
}

// FollowOpen is Open that follows.
func (d *Dir) FollowOpen(name string) (*File, error) {
	fd, err := openRegular(d.fd, name, unix.O_RDONLY)
	if err == errIsSymlink {
		fd, err = d.follow(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
		if err == nil {
			fd, err = keepRegular(fd)
		} else if err != unix.ELOOP {
			err = notRegular(err)
		}
	}
	if err != nil {
		return nil, d.at(name).fail("open", err)
	}
	return d.newFile(fd, name), nil
}

// FollowDir is OpenDir that follows. Directories that links lead to may contain
// themselves: the caller watches for an Info that it has above already.
func (d *Dir) FollowDir(name string) (*Dir, error) {
	fd, err := openat(d.fd, name, dirFlags|unix.O_NOFOLLOW, 0)
	if err == nil {
		return d.child(fd, name)
	}
	if err != unix.ENOTDIR && err != unix.ELOOP {
		return nil, d.at(name).fail("open", err)
	}
	if fd, err = d.follow(name, dirFlags); err != nil {
		return nil, d.at(name).fail("open", err)
	}
	return d.root.newDir(fd, join(d.rel, name))
}

// FollowReadSmall is ReadSmall that follows.
func (d *Dir) FollowReadSmall(name string, buf []byte) (n int, info Info, err error) {
	fd, err := openat(d.fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err == unix.ELOOP {
		if fd, err = d.follow(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY); err == unix.ELOOP {
			return 0, info, d.at(name).fail("open", err)
		}
	}
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

// follow resolves a link in d. Most stay below d; the others are resolved from
// the root, by the path by which d was opened.
func (d *Dir) follow(name string, flags int) (int, error) {
	if err := CheckName(name); err != nil {
		return -1, err
	}
	fd, err := openat2(d.fd, name, flags, resolveBeneath)
	if err == ErrEscapes {
		return d.root.open(join(d.rel, name), flags)
	}
	return fd, err
}
