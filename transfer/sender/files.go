package sender

import (
	"container/list"
	"errors"
	"sync"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer/scan"
)

// maxOpenFiles is how many source files are kept open beyond those in use.
const maxOpenFiles = 64

// errChanged: the source is not the one that was announced.
var errChanged = errors.New("the source changed")

// sourceKey is one source of an entry; entries but assembled ones have one.
type sourceKey struct {
	entry *entry
	index int
}

// openFile is an open source. It is closed when it is neither kept nor used.
type openFile struct {
	source
	key    sourceKey
	memory []byte // of a region, all of it; nil for files
	refs   int    // guarded by openFiles.mu; one of them is the cache's
	elem   *list.Element
}

// openFiles keeps the large files that were used last open, so that the extents
// of one file do not each open it.
type openFiles struct {
	dirs    *scan.Dirs
	limit   int
	patient func(open func() error) error // calls open, again where descriptors are short
	// anyVersion: of regions, whatever they are now is what is to be sent.
	anyVersion bool

	mu    sync.Mutex
	kept  map[sourceKey]*openFile
	order list.List // front was used last
}

func newOpenFiles(dirs *scan.Dirs, limit int) *openFiles {
	return &openFiles{
		dirs: dirs, limit: limit, kept: make(map[sourceKey]*openFile),
		patient: func(open func() error) error { return open() },
	}
}

// get opens a source and checks that it is the version that was announced. The
// caller calls put.
func (o *openFiles) get(n *entry, index int) (*openFile, error) {
	key := sourceKey{n, index}
	o.mu.Lock()
	if f := o.kept[key]; f != nil {
		f.refs++
		o.order.MoveToFront(f.elem)
		o.mu.Unlock()
		return f, nil
	}
	o.mu.Unlock()
	f, err := o.open(key)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	if o.kept[key] == nil {
		f.refs++
		o.kept[key] = f
		f.elem = o.order.PushFront(f)
	}
	var old *openFile
	if o.order.Len() > o.limit {
		old = o.drop(o.order.Back().Value.(*openFile))
	}
	o.mu.Unlock()
	old.close()
	return f, nil
}

func (o *openFiles) open(key sourceKey) (*openFile, error) {
	at, print := key.entry.found.At, key.entry.found.Print
	if a := key.entry.found.Assembly; a != nil {
		if file := &a.Files[key.index]; file.Region != nil {
			return openRegion(key, file, o.anyVersion)
		}
		at, print = a.Files[key.index].At, a.Files[key.index].Print
	}
	var file *fsroot.File
	err := o.patient(func() (err error) {
		file, err = o.dirs.OpenFile(at)
		return err
	})
	if err != nil {
		return nil, err
	}
	info, err := file.Info()
	if err == nil && scan.PrintOf(&info) != print {
		err = errChanged
	}
	if err != nil {
		_ = file.Close() // nothing was written
		return nil, err
	}
	return &openFile{source: file, key: key, refs: 1}, nil
}

// drop takes f out of the cache, and returns it if it is to be closed. Called
// with mu held.
func (o *openFiles) drop(f *openFile) *openFile {
	o.order.Remove(f.elem)
	delete(o.kept, f.key)
	if f.refs--; f.refs == 0 {
		return f
	}
	return nil
}

func (f *openFile) close() {
	if f != nil {
		_ = f.source.Close() // only read from
	}
}

// put ends a use.
func (o *openFiles) put(f *openFile) {
	o.mu.Lock()
	f.refs--
	unused := f.refs == 0
	o.mu.Unlock()
	if unused {
		f.close()
	}
}

// forget closes what is kept of an entry.
func (o *openFiles) forget(n *entry) {
	if !n.found.Kind.HasBytes() {
		return
	}
	sources := 1
	if n.found.Assembly != nil {
		sources = len(n.found.Assembly.Files)
	}
	for i := range sources {
		o.mu.Lock()
		var old *openFile
		if f := o.kept[sourceKey{n, i}]; f != nil {
			old = o.drop(f)
		}
		o.mu.Unlock()
		old.close()
	}
}

// closeAll closes what is kept, when nothing is in use any more.
func (o *openFiles) closeAll() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.kept {
		o.drop(f).close()
	}
}
