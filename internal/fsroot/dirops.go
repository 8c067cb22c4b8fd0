package fsroot

import (
	"golang.org/x/sys/unix"
)

// Mkdir makes a directory. perm is subject to the umask.
func (d *Dir) Mkdir(name string, perm uint32) error {
	if err := d.writable("mkdir", name); err != nil {
		return err
	}
	if err := mkdirat(d.fd, name, perm&0o7777); err != nil {
		return d.at(name).fail("mkdir", d.full(err))
	}
	return nil
}

// full tells which of the two is used up when a new file found no space.
func (d *Dir) full(err error) error {
	if err != unix.ENOSPC {
		return err
	}
	if s, e := d.Statfs(); e == nil && s.TotalInodes > 0 && s.FreeInodes == 0 {
		return ErrNoInodes
	}
	return err
}

// Symlink makes a symbolic link. The target is any text without a NUL, 1 to
// 4095 bytes: it is not looked at.
func (d *Dir) Symlink(target, name string) error {
	err := d.writable("symlink", name)
	if err != nil {
		return err
	}
	if err = CheckName(name); err == nil {
		err = d.full(unix.Symlinkat(target, d.fd, name))
	}
	return d.at(name).wrap("symlink", err)
}

// Readlink returns the target of a symbolic link; EINVAL for anything else.
func (d *Dir) Readlink(name string) (string, error) {
	if err := CheckName(name); err != nil {
		return "", d.at(name).fail("readlink", err)
	}
	target, err := readlink(d.fd, name)
	if err != nil {
		return "", d.at(name).fail("readlink", err)
	}
	return target, nil
}

// Link makes name a hard link to oldName in oldDir. A symbolic link is linked
// itself.
func (d *Dir) Link(oldDir *Dir, oldName, name string) error {
	if err := d.writable("link", name); err != nil {
		return err
	}
	if err := oldDir.writable("link", oldName); err != nil {
		return err // the other name would make it writable
	}
	if err := linkat(oldDir.fd, oldName, d.fd, name); err != nil {
		return d.at(name).fail("link", err)
	}
	return nil
}

// Mknod makes a FIFO, socket or device. perm is subject to the umask.
func (d *Dir) Mknod(name string, k Kind, perm uint32, rdev uint64) error {
	err := d.writable("mknod", name)
	if err != nil {
		return err
	}
	switch k {
	case FIFO, Socket:
		rdev = 0
	case CharDev, BlockDev:
	default:
		return d.at(name).fail("mknod", unix.EINVAL)
	}
	if err = CheckName(name); err == nil {
		err = d.full(unix.Mknodat(d.fd, name, k.mode()|perm&0o7777, int(rdev)))
	}
	return d.at(name).wrap("mknod", err)
}

// Rename moves oldName in d to newName in newDir. With noReplace an existing
// newName is EEXIST; without, it is replaced at once.
func (d *Dir) Rename(oldName string, newDir *Dir, newName string, noReplace bool) error {
	if err := d.writable("rename", oldName); err != nil {
		return err
	}
	if err := newDir.writable("rename", newName); err != nil {
		return err
	}
	var flags uint
	if noReplace {
		flags = unix.RENAME_NOREPLACE
	}
	err := renameat2(d.fd, oldName, newDir.fd, newName, flags)
	if err == unix.EINVAL && noReplace {
		// NFS and some others know no flags. A link fails where the name exists,
		// and a crash in between leaves both names on one file, which our
		// clean-up of temps ends.
		// EPERM is a directory, or no hard links here: the first answer stands.
		if e := linkat(d.fd, oldName, newDir.fd, newName); e == nil {
			err = unlinkat(d.fd, oldName, 0)
		} else if e != unix.EPERM {
			err = e
		}
	}
	if err != nil {
		return newDir.at(newName).fail("rename", err)
	}
	return nil
}

// Unlink removes a name that is not a directory (EISDIR).
func (d *Dir) Unlink(name string) error {
	if err := d.writable("unlink", name); err != nil {
		return err
	}
	if err := unlinkat(d.fd, name, 0); err != nil {
		return d.at(name).fail("unlink", err)
	}
	return nil
}

// Rmdir removes an empty directory.
func (d *Dir) Rmdir(name string) error {
	if err := d.writable("rmdir", name); err != nil {
		return err
	}
	if err := unlinkat(d.fd, name, unix.AT_REMOVEDIR); err != nil {
		return d.at(name).fail("rmdir", err)
	}
	return nil
}
