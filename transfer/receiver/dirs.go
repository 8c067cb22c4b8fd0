package receiver

import (
	"container/list"
	"errors"
	"fmt"
	"sync"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// Bounds of the directories that an edge keeps open; see maxBatchDirs for those
// in use beside them. A directory comes up when it is made, when its files
// arrive, when they are published and when it is finished: with the larger bound
// a tree of 1,667 directories takes 40 % of the opens, and a tenth fewer system
// calls in all.
const (
	minOpenDirs = 128
	maxOpenDirs = 1024
	// openDirsShare is the part of the descriptors for temps that one edge may
	// have for directories beside them.
	openDirsShare = 64
)

// dirCache keeps the directories that were used last open. One that is not is
// opened again from its parent, as the manifest names it: never by a path, and
// never through a symbolic link.
type dirCache struct {
	e      *edge
	most   int
	strays *strays // nil where there can be none

	mu    sync.Mutex
	open  map[uint64]*list.Element // of *openDir
	order *list.List               // last used first
}

type openDir struct {
	num uint64
	dir *fsroot.Dir
	id  fileID
}

func newDirCache(e *edge) *dirCache {
	most := min(maxOpenDirs, max(minOpenDirs, cap(e.r.slots)/openDirsShare))
	return &dirCache{e: e, most: most, strays: e.findStrays(), open: map[uint64]*list.Element{}, order: list.New()}
}

// heldDir is a directory for the time of a few operations. Close gives it back.
type heldDir struct {
	*fsroot.Dir
	id fileID
}

// get returns the directory of an entry, or the base for NoParent.
func (c *dirCache) get(num uint64) (heldDir, error) {
	c.mu.Lock()
	if el := c.open[num]; el != nil {
		c.order.MoveToFront(el)
		o := el.Value.(*openDir)
		h := heldDir{o.dir.Retain(), o.id}
		c.mu.Unlock()
		return h, nil
	}
	c.mu.Unlock()
	d, err := c.reopen(num)
	if err != nil {
		return heldDir{}, err
	}
	return c.put(num, d)
}

var errNoBase = errors.New("the destination does not exist")

func (c *dirCache) reopen(num uint64) (*fsroot.Dir, error) {
	dest := c.e.dest
	if num == transfer.NoParent {
		if dest.base == nil {
			return nil, errNoBase
		}
		return dest.base.Retain(), nil
	}
	ent, err := c.e.manifest.Entry(num)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if ent.Kind != transfer.KindDir {
		return nil, fmt.Errorf("entry %d is no directory", num)
	}
	parent, err := c.get(ent.Parent)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	switch {
	case ent.Name != "":
		return parent.OpenDir(ent.Name)
	case dest.last == "":
		return parent.Retain(), nil
	}
	// What was named as the destination may be a link to a directory.
	return parent.FollowDir(dest.last)
}

// put adds an open directory, whose reference becomes the cache's, and returns
// another.
func (c *dirCache) put(num uint64, d *fsroot.Dir) (heldDir, error) {
	info, err := d.Info()
	if err != nil {
		d.Close()
		return heldDir{}, err
	}
	c.sweep(num, d)
	c.mu.Lock()
	defer c.mu.Unlock()
	if el := c.open[num]; el != nil { // somebody was faster
		d.Close()
		o := el.Value.(*openDir)
		return heldDir{o.dir.Retain(), o.id}, nil
	}
	o := &openDir{num: num, dir: d, id: fileID{info.Dev, info.Ino}}
	c.open[num] = c.order.PushFront(o)
	for c.order.Len() > c.most {
		last := c.order.Back()
		old := c.order.Remove(last).(*openDir)
		delete(c.open, old.num)
		old.dir.Close()
	}
	return heldDir{d.Retain(), o.id}, nil
}

// inPlace checks that a directory still is where it was found: one that was
// moved away, or removed, takes no more files.
func (c *dirCache) inPlace(h heldDir) error {
	now, err := h.Root().Stat(h.Rel())
	if err == nil && (fileID{now.Dev, now.Ino}) == h.id {
		return nil
	}
	if err != nil && !fsMissing(err) {
		return err
	}
	return &transfer.Error{Reason: transfer.DestDirGone, Side: transfer.SideTarget, Phase: transfer.PhasePublish, Node: c.e.r.cfg.Node, Path: h.Path(),
		Err: errors.New("another directory is there now, or none"), Hint: "the destination directory was moved or removed while the transfer ran"}
}

// inUse returns the directories that are open.
func (c *dirCache) inUse() []fileID {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]fileID, 0, len(c.open))
	for _, el := range c.open {
		list = append(list, el.Value.(*openDir).id)
	}
	return list
}

// drop forgets a directory that is no longer what it was.
func (c *dirCache) drop(num uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el := c.open[num]; el != nil {
		c.order.Remove(el).(*openDir).dir.Close()
		delete(c.open, num)
	}
}

func (c *dirCache) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, el := range c.open {
		el.Value.(*openDir).dir.Close()
	}
	clear(c.open)
	c.order.Init()
}
