package fsroot

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// MetaSet says which fields of a Meta count.
type MetaSet uint8

const (
	SetPerm MetaSet = 1 << iota
	SetOwner
	SetGroup
	SetMtime
)

// Meta is metadata to set. The order is always owner and group, then mode
// (chown(2) clears the setuid and setgid bits), then the time. Extended
// attributes go between mode and time: two calls.
type Meta struct {
	Set      MetaSet
	Perm     uint32 // 07777
	UID, GID uint32
	Mtime    int64 // nanoseconds since 1970
}

// owner gives the arguments of chown(2); -1 keeps.
func (m Meta) owner() (uid, gid int, any bool) {
	uid, gid = -1, -1
	if m.Set&SetOwner != 0 {
		uid = int(m.UID)
	}
	if m.Set&SetGroup != 0 {
		gid = int(m.GID)
	}
	return uid, gid, m.Set&(SetOwner|SetGroup) != 0
}

// SetMeta sets metadata of the file.
func (f *File) SetMeta(m Meta) error {
	if err := f.writable("set metadata of"); err != nil {
		return err
	}
	return f.where.setMeta(f.fd, m)
}

// SetMeta sets metadata of the directory itself.
func (d *Dir) SetMeta(m Meta) error {
	if err := d.writable("set metadata of", ""); err != nil {
		return err
	}
	return d.at("").setMeta(d.fd, m)
}

func (p place) setMeta(fd int, m Meta) error {
	if uid, gid, any := m.owner(); any {
		if err := unix.Fchown(fd, uid, gid); err != nil {
			return p.fail("chown", err)
		}
	}
	if m.Set&SetPerm != 0 {
		if err := unix.Fchmod(fd, m.Perm&0o7777); err != nil {
			return p.fail("chmod", err)
		}
	}
	if m.Set&SetMtime != 0 {
		if err := setMtime(fd, "", m.Mtime); err != nil {
			return p.fail("set time of", err)
		}
	}
	return nil
}

// SetMetaAt sets metadata of what has no descriptor of its own: a symbolic
// link, FIFO, socket or device. Nothing is followed. The mode of a symbolic
// link means nothing on Linux and is left.
func (d *Dir) SetMetaAt(name string, m Meta) error {
	if err := d.writable("set metadata of", name); err != nil {
		return err
	}
	p := d.at(name)
	if err := CheckName(name); err != nil {
		return p.fail("set metadata of", err)
	}
	if uid, gid, any := m.owner(); any {
		if err := unix.Fchownat(d.fd, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return p.fail("chown", err)
		}
	}
	if m.Set&SetPerm != 0 {
		if err := chmodat(d.fd, name, m.Perm&0o7777); err != nil {
			return p.fail("chmod", err)
		}
	}
	if m.Set&SetMtime != 0 {
		if err := setMtime(d.fd, name, m.Mtime); err != nil {
			return p.fail("set time of", err)
		}
	}
	return nil
}

// chmodat changes a mode without following. Kernels before 6.6 have no call for
// it; there the file is pinned by an O_PATH descriptor and changed through its
// name under /proc, which leads nowhere else.
func chmodat(dirfd int, name string, perm uint32) error {
	err := unix.Fchmodat(dirfd, name, perm, unix.AT_SYMLINK_NOFOLLOW)
	if err != unix.EOPNOTSUPP {
		return err
	}
	fd, err := openat(dirfd, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := fstat(fd, &st); err != nil {
		return err
	}
	if kindOf(uint32(st.Mode)) == Symlink {
		return nil
	}
	return unix.Fchmodat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), perm, 0)
}
