package fsroot

import (
	"cmp"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Mode is what an export allows.
type Mode uint8

const (
	ReadOnly Mode = iota
	ReadWrite
)

func (m Mode) String() string {
	if m == ReadWrite {
		return "rw"
	}
	return "ro"
}

// Export is one directory tree that transfers may touch.
type Export struct {
	Path string // absolute
	Mode Mode
}

// Exports is an immutable set of open exports. To change it, open another set
// and close this one; roots and directories in use stay usable.
type Exports struct {
	roots  []*Root // longest path first, so that the first match is the right one
	closed atomic.Bool
}

// OpenExports opens each export. Each must be an existing directory, given by
// an absolute path; it may be a symbolic link, which is resolved now and never
// again. The same directory twice is refused. Exports may nest.
func OpenExports(list []Export) (*Exports, error) {
	e := &Exports{}
	for _, x := range list {
		r, err := openRoot(x)
		if err != nil {
			return nil, err
		}
		e.roots = append(e.roots, r)
		for _, other := range e.roots[:len(e.roots)-1] {
			if other.id == r.id {
				return nil, &PathError{Op: "export", Path: r.path, Err: fmt.Errorf("is the same directory as export %q: %w", other.path, unix.EEXIST)}
			}
		}
	}
	for _, r := range e.roots {
		if r.mode != ReadWrite {
			continue
		}
		for _, inner := range e.roots {
			if rel, ok := below(r.real, inner.real); ok && rel != "" && inner.mode == ReadOnly {
				r.guarded = append(r.guarded, inner.id)
			}
		}
	}
	slices.SortStableFunc(e.roots, func(a, b *Root) int {
		return cmp.Or(cmp.Compare(len(b.path), len(a.path)), strings.Compare(a.path, b.path))
	})
	return e, nil
}

func openRoot(x Export) (*Root, error) {
	path := x.Path
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	fail := func(err error) (*Root, error) { return nil, &PathError{Op: "export", Path: x.Path, Err: err} }
	if err := checkAbs(path); err != nil {
		return fail(err)
	}
	if x.Mode > ReadWrite {
		return fail(fmt.Errorf("mode %d is neither read-only nor read-write", x.Mode))
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		if errno := errnoOf(err); errno != 0 {
			err = errno
		}
		return fail(err)
	}
	fd, err := unix.Open(real, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	var st unix.Stat_t
	if err := fstat(fd, &st); err != nil {
		unix.Close(fd)
		return fail(err)
	}
	// Asked now, so that a kernel without openat2 stops the start and not the
	// first transfer. A system call filter may answer EPERM.
	probe, err := openat2(fd, ".", unix.O_PATH|unix.O_DIRECTORY, resolveBeneath)
	if err != nil {
		unix.Close(fd)
		if err == unix.EPERM {
			err = ErrNoOpenat2
		}
		return fail(err)
	}
	unix.Close(probe)
	r := &Root{path: path, real: real, mode: x.Mode, id: identityOf(&st), fd: fd}
	runtime.AddCleanup(r, func(fd int) { unix.Close(fd) }, fd)
	return r, nil
}

// List returns the exports, sorted by path.
func (e *Exports) List() []Export {
	list := make([]Export, 0, len(e.roots))
	for _, r := range e.roots {
		list = append(list, Export{Path: r.path, Mode: r.mode})
	}
	slices.SortFunc(list, func(a, b Export) int { return strings.Compare(a.Path, b.Path) })
	return list
}

// Close makes Resolve fail with fs.ErrClosed. Roots that were handed out stay
// usable for those that have them; the descriptor of a root is closed by the
// garbage collector after the last of them.
func (e *Exports) Close() error {
	e.closed.Store(true)
	return nil
}

// Resolve finds the export that holds an absolute path, by whole components;
// with nested exports it is the innermost. rel is the path within it, "" the
// root itself. It does no I/O: whether the path exists, and where its links
// lead, is found by the methods of Root.
//
// Errors: ErrBadPath (relative; a "." or ".." component, an empty one, a
// trailing slash; a NUL; more than 4096 bytes, 255 per component or 256
// components), ErrNotExported, and ErrReadOnly where write is asked of a
// read-only export.
func (e *Exports) Resolve(path string, write bool) (root *Root, rel string, err error) {
	if err := checkAbs(path); err != nil {
		return nil, "", &PathError{Op: "resolve", Path: path, Err: err}
	}
	if e.closed.Load() {
		return nil, "", &PathError{Op: "resolve", Path: path, Err: fs.ErrClosed}
	}
	for _, r := range e.roots {
		rel, ok := below(r.path, path)
		if !ok {
			continue
		}
		if write && r.mode != ReadWrite {
			return nil, "", &PathError{Op: "resolve", Path: path, Err: ErrReadOnly}
		}
		return r, rel, nil
	}
	return nil, "", &PathError{Op: "resolve", Path: path, Err: ErrNotExported}
}
