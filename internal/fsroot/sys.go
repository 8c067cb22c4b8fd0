package fsroot

import (
	"math"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls here exist because those of x/sys allocate a NUL-terminated copy of
// each name, and a tree of small files makes a handful of them per file.

// cname is a name as the kernel wants it, made on the caller's stack.
type cname [MaxName + 1]byte

// set checks the name and copies it. The array must be zero.
func (c *cname) set(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	copy(c[:MaxName], name)
	return nil
}

func openat(dirfd int, name string, flags int, perm uint32) (int, error) {
	var c cname
	if err := c.set(name); err != nil {
		return -1, err
	}
	for {
		fd, _, e := unix.Syscall6(unix.SYS_OPENAT, uintptr(dirfd), uintptr(unsafe.Pointer(&c)),
			uintptr(flags|unix.O_CLOEXEC|unix.O_LARGEFILE), uintptr(perm), 0, 0)
		switch e {
		case 0:
			return int(fd), nil
		case unix.EINTR: // FUSE and NFS
		default:
			return -1, e
		}
	}
}

func fstatat(dirfd int, name string, st *unix.Stat_t) error {
	var c cname
	if err := c.set(name); err != nil {
		return err
	}
	for {
		_, _, e := unix.Syscall6(unix.SYS_NEWFSTATAT, uintptr(dirfd), uintptr(unsafe.Pointer(&c)),
			uintptr(unsafe.Pointer(st)), unix.AT_SYMLINK_NOFOLLOW, 0, 0)
		switch e {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return e
		}
	}
}

func mkdirat(dirfd int, name string, perm uint32) error {
	var c cname
	if err := c.set(name); err != nil {
		return err
	}
	_, _, e := unix.Syscall(unix.SYS_MKDIRAT, uintptr(dirfd), uintptr(unsafe.Pointer(&c)), uintptr(perm))
	if e != 0 {
		return e
	}
	return nil
}

func unlinkat(dirfd int, name string, flags int) error {
	var c cname
	if err := c.set(name); err != nil {
		return err
	}
	_, _, e := unix.Syscall(unix.SYS_UNLINKAT, uintptr(dirfd), uintptr(unsafe.Pointer(&c)), uintptr(flags))
	if e != 0 {
		return e
	}
	return nil
}

func renameat2(olddirfd int, oldname string, newdirfd int, newname string, flags uint) error {
	var from, to cname
	if err := from.set(oldname); err != nil {
		return err
	}
	if err := to.set(newname); err != nil {
		return err
	}
	_, _, e := unix.Syscall6(unix.SYS_RENAMEAT2, uintptr(olddirfd), uintptr(unsafe.Pointer(&from)),
		uintptr(newdirfd), uintptr(unsafe.Pointer(&to)), uintptr(flags), 0)
	if e != 0 {
		return e
	}
	return nil
}

func linkat(olddirfd int, oldname string, newdirfd int, newname string) error {
	var from, to cname
	if err := from.set(oldname); err != nil {
		return err
	}
	if err := to.set(newname); err != nil {
		return err
	}
	_, _, e := unix.Syscall6(unix.SYS_LINKAT, uintptr(olddirfd), uintptr(unsafe.Pointer(&from)),
		uintptr(newdirfd), uintptr(unsafe.Pointer(&to)), 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

func fstat(fd int, st *unix.Stat_t) error {
	for {
		if err := unix.Fstat(fd, st); err != unix.EINTR {
			return err
		}
	}
}

// setMtime sets the modification time and leaves the access time. name "" is
// the fd itself; any other is not followed. The kernel clamps in silence to what
// the file system can keep; that is ErrTimeRange, with the nearest time set.
func setMtime(fd int, name string, mtime int64) error {
	ts := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(mtime)}
	var p unsafe.Pointer
	flags := 0
	var c cname
	if name != "" {
		if err := c.set(name); err != nil {
			return err
		}
		p, flags = unsafe.Pointer(&c), unix.AT_SYMLINK_NOFOLLOW
	}
	_, _, e := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), uintptr(p),
		uintptr(unsafe.Pointer(&ts)), uintptr(flags), 0, 0)
	if e != 0 {
		return e
	}
	// Every file system has 1970 to 2038, and only outside is it worth a look.
	if ts[1].Sec >= 0 && ts[1].Sec < 1<<31-1 {
		return nil
	}
	var st unix.Stat_t
	var err error
	if name == "" {
		err = fstat(fd, &st)
	} else {
		err = fstatat(fd, name, &st)
	}
	if err == nil && (st.Mtim.Sec != ts[1].Sec || mtime == math.MaxInt64 || mtime == math.MinInt64) {
		err = ErrTimeRange
	}
	return err
}

// SetUmaskZero makes the modes given here hold as they are. For main: the mask
// belongs to the whole process.
func SetUmaskZero() { unix.Umask(0) }
