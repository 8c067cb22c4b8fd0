package fsroot

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// Root is an open export. Its methods may be called from many goroutines. It
// has no Close: work that holds it goes on over a reload of the exports, and its
// descriptor is closed when nothing refers to it any more.
type Root struct {
	path string // as configured, without a trailing slash
	real string // without symbolic links, as of the start
	mode Mode
	id   identity
	// guarded are the read-only exports inside this writable one: what is opened
	// in them through this root stays read-only.
	guarded []identity
	fd      int // whoever uses it keeps the Root alive until the call is over
}

// Path returns the absolute path of the export.
func (r *Root) Path() string { return r.path }

// Mode returns what the export allows.
func (r *Root) Mode() Mode { return r.mode }

func (r *Root) at(rel string) place { return place{root: r.path, rel: rel} }

// OpenDir opens a directory. Symbolic links on the way and at the end are
// followed as long as they stay inside the export; leaving it is ErrEscapes.
func (r *Root) OpenDir(rel string) (*Dir, error) {
	if err := checkRel(rel); err != nil {
		return nil, r.at(rel).fail("open", err)
	}
	fd, err := r.open(rel, dirFlags)
	if err != nil {
		return nil, r.at(rel).fail("open", err)
	}
	return r.newDir(fd, rel)
}

// Lstat tells what is at rel, without following a symbolic link at its end.
func (r *Root) Lstat(rel string) (Info, error) {
	return r.stat(rel, unix.O_PATH|unix.O_NOFOLLOW)
}

// Stat tells what is at rel, following links inside the export.
func (r *Root) Stat(rel string) (Info, error) { return r.stat(rel, unix.O_PATH) }

func (r *Root) stat(rel string, flags int) (info Info, err error) {
	if err := checkRel(rel); err != nil {
		return info, r.at(rel).fail("stat", err)
	}
	fd, err := r.open(rel, flags)
	if err != nil {
		return info, r.at(rel).fail("stat", err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := fstat(fd, &st); err != nil {
		return info, r.at(rel).fail("stat", err)
	}
	info.set(&st)
	return info, nil
}

// MkdirAll opens a directory, making it and the missing ones above it. made are
// the paths that this call created, outermost first; they are returned with an
// error too, for the caller to remove. A directory that somebody else makes at
// the same time is used; a symbolic link that appears in between is refused.
func (r *Root) MkdirAll(rel string, perm uint32) (d *Dir, made []string, err error) {
	if err := checkRel(rel); err != nil {
		return nil, nil, r.at(rel).fail("mkdir", err)
	}
	// The deepest that exists, then down from there.
	have := rel
	for {
		d, err = r.OpenDir(have)
		if err == nil {
			break
		}
		if have == "" || !errors.Is(err, unix.ENOENT) {
			return nil, nil, err
		}
		have = parent(have)
	}
	for have != rel {
		name := rel[len(have):]
		if have != "" {
			name = name[1:]
		}
		name = firstComponent(name)
		switch err = d.Mkdir(name, perm); {
		case err == nil:
			made = append(made, join(have, name))
		case !errors.Is(err, unix.EEXIST):
			d.Close()
			return nil, made, err
		}
		next, err := d.OpenDir(name)
		d.Close()
		if err != nil {
			return nil, made, err
		}
		d, have = next, join(have, name)
	}
	return d, made, nil
}

// Remove unlinks a file or link, or removes an empty directory. The root itself
// is never removed.
func (r *Root) Remove(rel string) error {
	if rel == "" {
		return r.at(rel).fail("remove", unix.EBUSY)
	}
	if err := checkRel(rel); err != nil {
		return r.at(rel).fail("remove", err)
	}
	d, err := r.OpenDir(parent(rel))
	if err != nil {
		return err
	}
	defer d.Close()
	err = d.Unlink(base(rel))
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
		if e := d.Rmdir(base(rel)); !errors.Is(e, unix.ENOTDIR) {
			err = e
		}
	}
	return err
}

// errnoOf returns the errno in an error, or 0.
func errnoOf(err error) syscall.Errno {
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e
	}
	return 0
}
