package scan

import (
	"fmt"
	"path"
	"strings"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// Where owner and target reach one file system by different hosts, only the target's
// mark tells that source and destination meet: a name that exists once. Found by the
// scan, the destination lies in the source, and the copy would go into itself. Found
// in or above a source, the source lies in the destination: then nothing may be
// removed there.

// removes says whether the transfer takes anything away at its destination but the
// files that it replaces by newer ones.
func (s *Scanner) removes() bool { return s.spec.Delete || s.spec.Force }

// AnyDir says whether a source is a directory. One that cannot be looked at is none.
func (s *Scanner) AnyDir() bool {
	for i := range s.roots {
		if info, err := s.cfg.Dirs.Stat(s.roots[i].at); err == nil && info.Kind == fsroot.Directory {
			return true
		}
	}
	return false
}

// checkAbove fails where a source is, or lies in, a destination that something is
// removed from. It looks into each directory from the source up, as far as they are
// exported, by the path that was named and by the one without links.
func (s *Scanner) checkAbove() error {
	if s.cfg.Mark.In == "" || !s.removes() {
		return nil
	}
	for i := range s.roots {
		src := &s.roots[i].source
		paths := []string{path.Clean(src.Path)}
		if dir, err := s.cfg.Dirs.Open(s.roots[i].at.Dir); err == nil {
			if real := dir.KernelPath(); real != "" {
				paths = append(paths, path.Join(real, s.roots[i].at.Name))
			}
			dir.Close()
		}
		for _, from := range paths {
			for at := from; ; at = path.Dir(at) {
				if s.markedAt(at) {
					return s.meets(transfer.SameFile, src.Path, at == from)
				}
				if at == "/" {
					break
				}
			}
		}
	}
	return nil
}

// markedAt looks for the mark in a directory, if that is exported.
func (s *Scanner) markedAt(dir string) bool {
	fr, rel, err := s.cfg.Exports.Resolve(dir, false)
	if err != nil {
		return false
	}
	_, err = fr.Lstat(strings.TrimPrefix(rel+"/"+s.cfg.Mark.In, "/"))
	return err == nil
}

// checkIn looks for the mark in a directory of the source by its name: what a host has
// cached of a directory that another one changes may be older. It takes a question to
// the server for each directory, so only what may remove something asks.
func (s *Scanner) checkIn(d *Dir, dir *fsroot.Dir) error {
	if s.cfg.Mark.In == "" || !s.removes() {
		return nil
	}
	for _, name := range []string{s.cfg.Mark.In, s.cfg.Mark.Beside} {
		if _, err := dir.Lstat(name); err == nil {
			return s.inside(d, name)
		}
	}
	return nil
}

// isMark says whether a name is the mark of this transfer.
func (s *Scanner) isMark(name string) bool {
	return s.cfg.Mark.In != "" && (name == s.cfg.Mark.In || name == s.cfg.Mark.Beside)
}

// inside is the end of a scan that found the mark in a directory.
func (s *Scanner) inside(d *Dir, name string) error {
	src := s.roots[s.root].source.Path
	if d.Source() == path.Clean(src) && name == s.cfg.Mark.In && s.roots[s.root].destName == "" {
		return s.meets(transfer.SameFile, src, true)
	}
	return s.meets(transfer.DestInsideSource, src, false)
}

// meets is the error of a source that meets the destination.
func (s *Scanner) meets(reason transfer.Reason, src string, same bool) error {
	e := &transfer.Error{Reason: reason, Side: transfer.SideSource, Phase: transfer.PhaseScan, Node: s.cfg.Node, Path: src}
	shown := transfer.EscapePath(src)
	switch {
	case same:
		e.Err = fmt.Errorf("source %s and destination are the same, in a file system that both nodes reach", shown)
	case reason == transfer.SameFile:
		e.Err = fmt.Errorf("the source %s lies in the destination, in a file system that both nodes reach: it would be removed there", shown)
		if s.spec.Force && !s.spec.Delete {
			e.Hint = "copy it without --force"
		}
	default:
		e.Err = fmt.Errorf("the destination lies in the source %s, in a file system that both nodes reach", shown)
	}
	return e
}
