package receiver

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// checkSources refuses a copy onto itself and into itself, by inode.
func (r *Receiver) checkSources(m *transfer.Open, d *dest) *transfer.Error {
	above, err := d.above()
	if err != nil {
		return r.destError(err, transfer.PhaseConnect, m.Dest)
	}
	for _, src := range m.Sources {
		root, rel, err := r.cfg.Exports().Resolve(src, false)
		if err != nil {
			continue // the source refuses it, with the right words
		}
		info, err := root.Stat(rel)
		if err != nil {
			continue
		}
		if terr := r.checkSource(m, d, src, baseOf(rel), info, above); terr != nil {
			return terr
		}
		if terr := r.checkNested(m, d, src, root, rel, info); terr != nil {
			return terr
		}
	}
	return nil
}

func (r *Receiver) checkSource(m *transfer.Open, d *dest, src, name string, info fsroot.Info, above []fileID) *transfer.Error {
	self := fileID{info.Dev, info.Ino}
	rel := d.rel
	if m.DestMode == transfer.DestInto {
		rel = joinRel(rel, name)
	}
	// A directory's contents may go into the directory given, without its name:
	// then the destination itself is what must not be the source.
	for _, at := range []string{rel, d.rel} {
		if at == d.rel && m.DestMode == transfer.DestInto && info.Kind != fsroot.Directory {
			continue
		}
		// A link at the end stands for a directory, and is replaced by a file.
		look := d.root.Lstat
		if info.Kind == fsroot.Directory {
			look = d.root.Stat
		}
		if there, err := look(at); err == nil && (fileID{there.Dev, there.Ino}) == self {
			return r.refuse(transfer.SameFile, m.Dest, fmt.Errorf("source %s and destination are the same", transfer.EscapePath(src)))
		}
	}
	if info.Kind == fsroot.Directory && slices.Contains(above, self) {
		return r.refuse(transfer.DestInsideSource, m.Dest, fmt.Errorf("the destination lies in the source %s", transfer.EscapePath(src)))
	}
	return nil
}

// checkNested refuses what the path above the destination does not show: a
// destination in the source by a bind mount, and a source in a directory that is
// deleted from or gives way to a file.
func (r *Receiver) checkNested(m *transfer.Open, d *dest, src string, root *fsroot.Root, rel string, info fsroot.Info) *transfer.Error {
	from, err := identify(root, rel, true)
	if err != nil {
		return nil // the source refuses it, with the right words
	}
	isDir := info.Kind == fsroot.Directory
	if isDir && from.holds(&d.id) {
		return r.refuse(transfer.DestInsideSource, m.Dest, fmt.Errorf("the destination lies in the source %s", transfer.EscapePath(src)))
	}
	at := d.rel
	switch {
	case m.Options.Delete: // contents to contents
	case m.Options.Force && !isDir:
		if m.DestMode == transfer.DestInto {
			at = joinRel(at, baseOf(rel))
		}
		// Of a link only the name goes.
		if there, err := d.root.Lstat(at); err != nil || there.Kind != fsroot.Directory {
			return nil
		}
	default:
		return nil
	}
	to, err := identify(d.root, at, true)
	if err != nil {
		return r.destError(err, transfer.PhaseConnect, m.Dest)
	}
	if to.holds(&from) {
		return r.refuse(transfer.SameFile, m.Dest, fmt.Errorf("the source %s lies inside of what the destination replaces", transfer.EscapePath(src)))
	}
	return nil
}

// fileID is a file as the kernel knows it.
type fileID struct{ dev, ino uint64 }

// above returns every directory that exists on the way to the destination, by
// the path that was asked for and by the one without links.
func (d *dest) above() ([]fileID, error) {
	var list []fileID
	paths := []string{d.rel}
	if within(d.root.Path(), string(d.id.Real)) {
		paths = append(paths, strings.TrimPrefix(strings.TrimPrefix(string(d.id.Real), d.root.Path()), "/"))
	}
	for _, rel := range paths {
		for {
			if info, err := d.root.Stat(rel); err == nil && info.Kind == fsroot.Directory {
				list = append(list, fileID{info.Dev, info.Ino})
			} else if err != nil && !fsMissing(err) && !errors.Is(err, fsroot.ErrEscapes) {
				return nil, err
			}
			if rel == "" {
				break
			}
			rel = parentOf(rel)
		}
	}
	return list, nil
}
