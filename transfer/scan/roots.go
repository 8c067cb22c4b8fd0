package scan

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"syscall"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// root is one source, resolved to its export.
type root struct {
	source   transfer.Source
	at       Place // Name empty: the directory itself
	destName string
}

// rootError is a source that is not there or cannot be used.
type rootError struct{ err *transfer.Error }

func (e *rootError) Error() string { return e.err.Error() }

// resolve finds the export of every source.
func (s *Scanner) resolve() error {
	names := make(map[string]bool)
	for _, src := range s.spec.Sources {
		at, err := s.placeOf(src.Path, src.Contents)
		if err != nil {
			return err
		}
		r := root{source: src, at: at}
		r.at.Follow = s.spec.Follow
		if r.destName = s.spec.LandsAs(&src); r.destName != "" {
			if r.destName == "/" {
				return specError(s.cfg.Node, src.Path, errors.New("the root directory has no name to go by; copy its contents"))
			}
			if names[r.destName] {
				return specError(s.cfg.Node, src.Path, fmt.Errorf("two sources have the name %q", r.destName))
			}
			names[r.destName] = true
		}
		if isTemp(path.Base(src.Path)) {
			return &transfer.Error{Reason: transfer.ReservedName, Side: transfer.SideSource, Phase: transfer.PhaseSubmit, Node: s.cfg.Node, Path: src.Path,
				Err: errReserved}
		}
		s.roots = append(s.roots, r)
	}
	return nil
}

// placeOf resolves an absolute path. With whole the place is the directory of
// that path itself, with links followed.
func (s *Scanner) placeOf(abs string, whole bool) (Place, error) {
	fr, rel, err := s.cfg.Exports.Resolve(abs, false)
	if err != nil {
		return Place{}, SourceError(err, transfer.PhaseSubmit, s.cfg.Node, abs)
	}
	dir, name, in := rel, "", abs
	if !whole {
		in = path.Dir(abs)
		dir, name = "", rel
		if i := strings.LastIndexByte(rel, '/'); i >= 0 {
			dir, name = rel[:i], rel[i+1:]
		}
	}
	return Place{Dir: &Dir{root: fr, rel: dir, abs: in, number: transfer.NoParent}, Name: name}, nil
}

// enterRoot yields the root entry of a source and queues it, if it is a
// directory.
func (s *Scanner) enterRoot(r *root) error {
	fail := func(err error) error {
		return &rootError{SourceError(err, transfer.PhaseConnect, s.cfg.Node, r.source.Path)}
	}
	dir, err := s.cfg.Dirs.Open(r.at.Dir)
	if err != nil {
		return fail(err)
	}
	defer dir.Close()
	info, err := s.cfg.Dirs.Stat(r.at)
	if err != nil {
		return fail(err)
	}
	if info.Kind != fsroot.Directory && (r.source.Contents || s.files != nil) {
		return fail(syscall.ENOTDIR)
	}
	s.device = info.Dev
	if r.destName != "" && s.rules.Excluded(r.destName, info.Kind == fsroot.Directory) {
		return nil
	}
	f := &s.found
	*f = Found{Entry: transfer.Entry{Parent: transfer.NoParent, Name: r.destName}, At: r.at}
	if r.at.Name != "" {
		return s.entry(f, dir, &info, s.files)
	}
	// The directory stands for itself: it has no parent to be opened from.
	fill(&f.Entry, &info, s.spec.Preserve)
	d := r.at.Dir
	d.destName, d.dev, d.ino = r.destName, info.Dev, info.Ino
	if s.files != nil && !s.files.all {
		d.only = s.files
	}
	s.dirXattrs(f, d)
	if taken := s.take(f); taken != nil {
		return s.refuse(f, taken)
	}
	if err := s.yield(f); err != nil {
		return err
	}
	d.number = f.Number
	s.queue = append(s.queue, d)
	return nil
}
