package scan

import (
	"path"
	"sync"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// MaxOpenDirs is how many directory descriptors a Dirs of default size keeps.
const MaxOpenDirs = 256

// Dir is a directory at the source that entries were found in. It is small and
// lives as long as something refers to it; its descriptor comes and goes in
// [Dirs].
type Dir struct {
	parent *Dir   // nil: opened by root and rel
	name   string // in parent
	follow bool   // name may be a symbolic link
	root   *fsroot.Root
	rel    string
	abs    string // where it is, as the source was named; only without a parent

	number   uint64 // of its entry, or NoParent for the directory around a source
	destName string
	path     string // relative to the destination; set before its children are yielded
	only     *wanted
	closed   bool // a mount point that OneFS does not enter
	dev, ino uint64

	// guarded by Dirs.mu
	fd         *fsroot.Dir
	prev, next *Dir
}

// Path returns the path of a name in d, relative to the destination.
func (d *Dir) Path(name string) string {
	switch {
	case d.path == "":
		return name
	case name == "":
		return d.path
	}
	return d.path + "/" + name
}

// Source returns where d is: an absolute path, for messages.
func (d *Dir) Source() string {
	if d.parent == nil {
		return d.abs
	}
	return path.Join(d.parent.Source(), d.name)
}

// Place is where the source of an entry is found again.
type Place struct {
	Dir    *Dir
	Name   string // in Dir; empty: Dir itself
	Follow bool   // a symbolic link of that name is followed
}

// Source returns the absolute path of the place, for messages.
func (p Place) Source() string {
	if p.Dir == nil {
		return ""
	}
	return path.Join(p.Dir.Source(), p.Name)
}

// Dirs keeps the descriptors of the directories that were used last. It is safe
// for concurrent use.
type Dirs struct {
	limit int

	mu     sync.Mutex
	open   int
	lru    Dir // ring: lru.next was used last
	closed bool
}

// NewDirs returns a cache of at most limit descriptors; 0 is MaxOpenDirs.
// Directories in use beyond it are open too, until their users close them.
func NewDirs(limit int) *Dirs {
	if limit <= 0 {
		limit = MaxOpenDirs
	}
	c := &Dirs{limit: limit}
	c.lru.next, c.lru.prev = &c.lru, &c.lru
	return c
}

// Open returns the open directory. The caller closes it after use.
func (c *Dirs) Open(d *Dir) (*fsroot.Dir, error) {
	c.mu.Lock()
	if d.fd != nil {
		d.unlink()
		c.pushFront(d)
		fd := d.fd.Retain()
		c.mu.Unlock()
		return fd, nil
	}
	c.mu.Unlock()
	fd, err := c.openNew(d)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.fd != nil || c.closed { // somebody else was quicker
		return fd, nil
	}
	d.fd = fd.Retain()
	c.pushFront(d)
	if c.open++; c.open > c.limit {
		c.evict(c.lru.prev)
	}
	return fd, nil
}

func (c *Dirs) openNew(d *Dir) (*fsroot.Dir, error) {
	if d.parent == nil {
		return d.root.OpenDir(d.rel)
	}
	up, err := c.Open(d.parent)
	if err != nil {
		return nil, err
	}
	defer up.Close()
	if d.follow {
		return up.FollowDir(d.name)
	}
	return up.OpenDir(d.name)
}

// Close closes what is cached. Directories that are in use stay open until
// their users close them.
func (c *Dirs) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for c.lru.prev != &c.lru {
		c.evict(c.lru.prev)
	}
	return nil
}

func (c *Dirs) evict(d *Dir) {
	d.unlink()
	_ = d.fd.Close() // only drops our reference
	d.fd = nil
	c.open--
}

func (c *Dirs) pushFront(d *Dir) {
	d.prev, d.next = &c.lru, c.lru.next
	d.prev.next, d.next.prev = d, d
}

func (d *Dir) unlink() {
	d.prev.next, d.next.prev = d.next, d.prev
	d.prev, d.next = nil, nil
}

// Stat tells what is at a place now.
func (c *Dirs) Stat(p Place) (fsroot.Info, error) {
	dir, err := c.Open(p.Dir)
	if err != nil {
		return fsroot.Info{}, err
	}
	defer dir.Close()
	switch {
	case p.Name == "":
		return dir.Info()
	case p.Follow:
		return dir.FollowStat(p.Name)
	}
	return dir.Lstat(p.Name)
}

// OpenFile opens the regular file at a place.
func (c *Dirs) OpenFile(p Place) (*fsroot.File, error) {
	dir, err := c.Open(p.Dir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	if p.Follow {
		return dir.FollowOpen(p.Name)
	}
	return dir.Open(p.Name)
}

// ReadSmall reads the regular file at a place into buf; see fsroot.Dir.
func (c *Dirs) ReadSmall(p Place, buf []byte) (int, fsroot.Info, error) {
	dir, err := c.Open(p.Dir)
	if err != nil {
		return 0, fsroot.Info{}, err
	}
	defer dir.Close()
	if p.Follow {
		return dir.FollowReadSmall(p.Name, buf)
	}
	return dir.ReadSmall(p.Name, buf)
}

// PrintOf returns the fingerprint in a stat.
func PrintOf(i *fsroot.Info) transfer.Fingerprint {
	return transfer.Fingerprint{Dev: i.Dev, Ino: i.Ino, Size: i.Size, Mtime: i.Mtime, Ctime: i.Ctime}
}
