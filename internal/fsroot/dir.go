package fsroot

import (
	"io/fs"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Dir is an open directory. All names given to it are one component (see
// CheckName); a symbolic link is never followed, except by the methods called
// Follow. It may be used from many goroutines. It is counted: Retain adds a
// reference, Close drops one, the last closes the descriptor.
type Dir struct {
	root     *Root
	rel      string
	fd       int
	readOnly bool // of the root, or inside a read-only export below a writable one
	refs     atomic.Int32
	reading  atomic.Bool // a ReadDir uses the descriptor's position
}

// newDir takes over fd, which was resolved from the root by path.
func (r *Root) newDir(fd int, rel string) (*Dir, error) {
	d := &Dir{root: r, rel: rel, fd: fd, readOnly: r.mode != ReadWrite}
	if len(r.guarded) > 0 {
		guarded, err := r.withinGuarded(fd)
		if err != nil {
			unix.Close(fd)
			return nil, d.at("").fail("open", err)
		}
		d.readOnly = d.readOnly || guarded
	}
	d.refs.Store(1)
	return d, nil
}

// withinGuarded tells whether the directory lies in a read-only export inside
// this one, by going up from it: the path that led here may have had links.
func (r *Root) withinGuarded(fd int) (bool, error) {
	cur := fd
	defer func() {
		if cur != fd {
			unix.Close(cur)
		}
	}()
	var last identity
	for range MaxPath {
		var st unix.Stat_t
		if err := fstat(cur, &st); err != nil {
			return false, err
		}
		id := identityOf(&st)
		if r.isGuarded(id) {
			return true, nil
		}
		if id == r.id || id == last { // the root, or "/"
			return false, nil
		}
		last = id
		up, err := unix.Openat(cur, "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return false, err
		}
		if cur != fd {
			unix.Close(cur)
		}
		cur = up
	}
	return false, unix.ELOOP
}

func (r *Root) isGuarded(id identity) bool {
	for _, g := range r.guarded {
		if g == id {
			return true
		}
	}
	return false
}

func (d *Dir) at(name string) place { return place{root: d.root.path, rel: d.rel, name: name} }

// writable refuses changes in a read-only export.
func (d *Dir) writable(op, name string) error {
	if d.readOnly {
		return d.at(name).fail(op, ErrReadOnly)
	}
	return nil
}

// Root returns the export that the directory was opened in.
func (d *Dir) Root() *Root { return d.root }

// Rel returns the path within the root by which the directory was opened. It
// may have been renamed since.
func (d *Dir) Rel() string { return d.rel }

// Path returns the absolute path by which the directory was opened.
func (d *Dir) Path() string { return absPath(d.root.path, d.rel) }

// Fd returns the descriptor, for the time that a reference is held.
func (d *Dir) Fd() int { return d.fd }

// ReadOnly tells whether changes are refused here.
func (d *Dir) ReadOnly() bool { return d.readOnly }

// Retain adds a reference and returns d. The caller must hold one.
func (d *Dir) Retain() *Dir {
	if d.refs.Add(1) <= 1 {
		panic("fsroot: Retain of a closed directory")
	}
	return d
}

// Close drops one reference. Closing more often than retained is an error and
// does nothing.
func (d *Dir) Close() error {
	for {
		n := d.refs.Load()
		if n <= 0 {
			return d.at("").fail("close", fs.ErrClosed)
		}
		if !d.refs.CompareAndSwap(n, n-1) {
			continue
		}
		if n == 1 {
			unix.Close(d.fd)
			d.fd = -1
		}
		return nil
	}
}

// Info tells about the directory itself.
func (d *Dir) Info() (info Info, err error) {
	var st unix.Stat_t
	if err := fstat(d.fd, &st); err != nil {
		return info, d.at("").fail("stat", err)
	}
	info.set(&st)
	return info, nil
}

// Lstat tells what name is. It does not allocate unless it fails.
func (d *Dir) Lstat(name string) (info Info, err error) {
	var st unix.Stat_t
	if err := fstatat(d.fd, name, &st); err != nil {
		return info, d.at(name).fail("stat", err)
	}
	info.set(&st)
	return info, nil
}

// OpenDir opens the directory name. A symbolic link is ENOTDIR.
func (d *Dir) OpenDir(name string) (*Dir, error) {
	fd, err := openat(d.fd, name, dirFlags|unix.O_NOFOLLOW, 0)
	if err != nil {
		if err == unix.ELOOP {
			err = unix.ENOTDIR // which of the two depends on the kernel
		}
		return nil, d.at(name).fail("open", err)
	}
	return d.child(fd, name)
}

// child takes over the fd of a directory right below d.
func (d *Dir) child(fd int, name string) (*Dir, error) {
	c := &Dir{root: d.root, rel: join(d.rel, name), fd: fd, readOnly: d.readOnly}
	if len(d.root.guarded) > 0 && !c.readOnly {
		var st unix.Stat_t
		if err := fstat(fd, &st); err != nil {
			unix.Close(fd)
			return nil, d.at(name).fail("open", err)
		}
		c.readOnly = d.root.isGuarded(identityOf(&st))
	}
	c.refs.Store(1)
	return c, nil
}

// Sync makes the entries of the directory durable. After an error nothing is
// known of what reached the disk, and a second call proves nothing.
func (d *Dir) Sync() error { return d.at("").wrap("fsync", unix.Fsync(d.fd)) }

// SyncFS makes everything on the directory's file system durable. An error may
// be of a stranger's file.
func (d *Dir) SyncFS() error { return d.at("").wrap("syncfs", unix.Syncfs(d.fd)) }

// Statfs is what a file system says of its space.
type Statfs struct {
	Type        int64 // the magic number of statfs(2)
	Total       int64 // bytes
	FreeBytes   int64 // that any user may take: without the blocks kept for root
	RootBytes   int64 // that root may take
	TotalInodes int64 // 0 where the file system does not count them
	FreeInodes  int64
}

// Statfs tells the space of the directory's file system.
func (d *Dir) Statfs() (s Statfs, err error) {
	var b unix.Statfs_t
	for {
		if err = unix.Fstatfs(d.fd, &b); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return s, d.at("").fail("statfs", err)
	}
	unit := int64(b.Frsize)
	if unit == 0 {
		unit = int64(b.Bsize)
	}
	return Statfs{
		Type: int64(b.Type), Total: int64(b.Blocks) * unit, FreeBytes: int64(b.Bavail) * unit, RootBytes: int64(b.Bfree) * unit,
		TotalInodes: int64(b.Files), FreeInodes: int64(b.Ffree),
	}, nil
}
