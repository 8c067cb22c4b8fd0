package fsroot

import (
	"bytes"
	"strings"

	"golang.org/x/sys/unix"
)

// Xattr is one extended attribute.
type Xattr struct {
	Name  string
	Value []byte
}

// Capability is the attribute of a program's capabilities: rights that it runs
// with, as with a setuid bit.
const Capability = "security.capability"

// portable tells whether an attribute may cross: user.*, the POSIX ACLs and
// Capability. All others mean something to one machine only (labels of SELinux,
// trusted.*).
func portable(name string) bool {
	return strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "system.posix_acl_") || name == Capability
}

// Xattrs returns the attributes of the file that may cross to another machine and
// that filter wants (nil: all), in the file system's order. A file system
// without attributes has none.
func (f *File) Xattrs(filter func(name string) bool) ([]Xattr, error) {
	return f.where.xattrs(f.fd, filter)
}

// SetXattr makes or replaces one attribute; ErrXattrName for other namespaces.
func (f *File) SetXattr(name string, value []byte) error {
	if err := f.writable("set attribute of"); err != nil {
		return err
	}
	return f.where.setXattr(f.fd, name, value)
}

// RemoveXattr removes one attribute; one that does not exist is ENODATA.
func (f *File) RemoveXattr(name string) error {
	if err := f.writable("remove attribute of"); err != nil {
		return err
	}
	return f.where.removeXattr(f.fd, name)
}

// Xattrs is as that of File, for the directory itself.
func (d *Dir) Xattrs(filter func(name string) bool) ([]Xattr, error) {
	return d.at("").xattrs(d.fd, filter)
}

// SetXattr is as that of File, for the directory itself.
func (d *Dir) SetXattr(name string, value []byte) error {
	if err := d.writable("set attribute of", ""); err != nil {
		return err
	}
	return d.at("").setXattr(d.fd, name, value)
}

// RemoveXattr is as that of File, for the directory itself.
func (d *Dir) RemoveXattr(name string) error {
	if err := d.writable("remove attribute of", ""); err != nil {
		return err
	}
	return d.at("").removeXattr(d.fd, name)
}

// maxXattr is the kernel's limit for a list of names and for one value.
const maxXattr = 64 << 10

func (p place) xattrs(fd int, filter func(name string) bool) ([]Xattr, error) {
	var small [512]byte
	list := small[:]
	n, err := unix.Flistxattr(fd, list)
	if err == unix.ERANGE {
		list = make([]byte, maxXattr)
		n, err = unix.Flistxattr(fd, list)
	}
	if err == unix.EOPNOTSUPP {
		return nil, nil
	}
	if err != nil {
		return nil, p.fail("list attributes of", err)
	}
	var all []Xattr
	for list = list[:n]; len(list) > 0; {
		raw, rest, _ := bytes.Cut(list, []byte{0})
		list = rest
		name := string(raw)
		if !portable(name) || filter != nil && !filter(name) {
			continue
		}
		value, err := getXattr(fd, name)
		if err == unix.ENODATA { // removed in between
			continue
		}
		if err != nil {
			return nil, p.fail("read attribute "+name+" of", err)
		}
		all = append(all, Xattr{Name: name, Value: value})
	}
	return all, nil
}

func getXattr(fd int, name string) ([]byte, error) {
	var small [512]byte
	n, err := unix.Fgetxattr(fd, name, small[:])
	if err == nil {
		return bytes.Clone(small[:n]), nil
	}
	if err != unix.ERANGE {
		return nil, err
	}
	value := make([]byte, maxXattr)
	if n, err = unix.Fgetxattr(fd, name, value); err != nil {
		return nil, err
	}
	return bytes.Clone(value[:n]), nil
}

func (p place) setXattr(fd int, name string, value []byte) error {
	if !portable(name) {
		return p.fail("set attribute "+name+" of", ErrXattrName)
	}
	return p.wrap("set attribute "+name+" of", unix.Fsetxattr(fd, name, value, 0))
}

func (p place) removeXattr(fd int, name string) error {
	if !portable(name) {
		return p.fail("remove attribute "+name+" of", ErrXattrName)
	}
	return p.wrap("remove attribute "+name+" of", unix.Fremovexattr(fd, name))
}
