package place

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// Mapping is what a command line asks for, with nothing left to guess: the
// result does not depend on what exists at the destination.
type Mapping struct {
	Sources []Place // of one node, at least one; Slash means the contents
	Dest    Place
	// Into says that each source lands in Dest under its own name. Otherwise
	// Dest becomes the copy of the one source (or of its contents).
	Into bool
}

// Copy gives the mapping of a copy of one or more sources.
//
//	n1:/a/dir  n2:/b/dir   /b/dir becomes the copy
//	n1:/a/dir  n2:/b/      /b/dir becomes the copy
//	n1:/a/dir/ n2:/b[/]    the contents of /a/dir land in /b
//	n1:@r      n2:/b       the file /b becomes the bytes of the region
//	n1:/a      n2:@r+8     the bytes of the file land in the region from byte 8 on
//
// Several sources need a destination with a trailing slash.
func Copy(sources []Place, dest Place) (Mapping, error) {
	m := Mapping{Sources: sources, Dest: dest}
	if len(sources) == 0 {
		return Mapping{}, errors.New("there is no source")
	}
	for _, s := range sources[1:] {
		if s.Node != sources[0].Node {
			return Mapping{}, fmt.Errorf("the sources are on %s and on %s; all sources of one transfer must be on one node", shownNode(sources[0].Node), shownNode(s.Node))
		}
	}
	if len(sources) > 1 && !dest.Slash {
		return Mapping{}, fmt.Errorf("several sources need a destination that ends in a slash: %s/", dest)
	}
	if err := m.checkRegions(); err != nil {
		return Mapping{}, err
	}
	m.Into = len(sources) > 1 || dest.Slash && !sources[0].Slash
	if err := m.checkNames(); err != nil {
		return Mapping{}, err
	}
	return m, nil
}

// checkNames refuses two sources that would become the same thing.
func (m Mapping) checkNames() error {
	seen := map[string]Place{}
	for _, s := range m.Sources {
		if s.Slash {
			continue // contents may overlap by intent: the last one wins
		}
		name := s.name()
		if other, ok := seen[name]; ok {
			return fmt.Errorf("%s and %s would both become %s", other, s, m.Target(s))
		}
		seen[name] = s
	}
	return nil
}

// Sync gives the mapping of a mirror: the contents of one directory to the
// contents of another. Both must be typed with a trailing slash, since sync
// may delete, and the error shows both readings of a line without them.
func Sync(src, dest Place) (Mapping, error) {
	if src.Slash && dest.Slash {
		return Mapping{Sources: []Place{src}, Dest: dest}, nil
	}
	s, d := src, dest
	s.Slash, d.Slash = true, true
	under := d
	under.Path = strings.TrimSuffix(d.Path, "/") + "/" + path.Base(src.Path)
	return Mapping{}, fmt.Errorf(`sync needs two directories that both end in a slash. Which one is meant?
  xferctl sync %s %s
      makes %s a mirror of %s
  xferctl sync %s %s
      makes %s a mirror of %s`,
		s, d, d.Path, s.Path,
		s, under, under.Path, s.Path)
}

// Target returns what the source becomes at the destination; for a directory's
// contents, the directory that they land in.
func (m Mapping) Target(src Place) Place {
	t := Place{Node: m.Dest.Node, Path: m.Dest.Path, Slash: src.Slash}
	if m.Into && !src.Slash {
		t.Path = strings.TrimSuffix(m.Dest.Path, "/") + "/" + src.name()
	}
	if m.Dest.Region != nil {
		r := *m.Dest.Region
		t.Region, t.Path = &r, ""
	}
	return t
}

// name is the name that a place lands under in a directory.
func (p Place) name() string {
	if p.Region != nil {
		return p.Region.ID
	}
	return path.Base(p.Path)
}

// checkRegions refuses what no region can be part of. A length that is typed at the
// destination is that of the source as well.
func (m *Mapping) checkRegions() error {
	from, to := m.Sources[0].Region, m.Dest.Region
	for _, s := range m.Sources {
		if s.Region != nil && len(m.Sources) > 1 {
			return fmt.Errorf("%s is copied alone: several parts go in one transfer as pieces (xferctl submit)", s)
		}
	}
	switch {
	case to == nil:
		return nil
	case len(m.Sources) > 1:
		return fmt.Errorf("one source goes into %s: several parts go in one transfer as pieces (xferctl submit)", m.Dest)
	case m.Sources[0].Slash:
		return fmt.Errorf("%s is a directory, which can not go into %s", m.Sources[0], m.Dest)
	case to.Length < 0:
		return nil
	case from == nil:
		return fmt.Errorf("%s: all of the file goes there, so leave the length out", m.Dest)
	case from.Length >= 0 && from.Length != to.Length:
		return fmt.Errorf("%s has %d bytes, and %s %d", m.Sources[0], from.Length, m.Dest, to.Length)
	}
	r := *from
	r.Length = to.Length
	m.Sources = []Place{{Node: m.Sources[0].Node, Region: &r}}
	return nil
}

// Lines describes the mapping, one line per source. show makes a place fit for
// a terminal.
func (m Mapping) Lines(show func(Place) string) []string {
	lines := make([]string, 0, len(m.Sources))
	for _, s := range m.Sources {
		from, to := s, m.Target(s)
		from.Slash, to.Slash = false, false
		if s.Slash {
			lines = append(lines, fmt.Sprintf("contents of %s -> contents of %s", show(from), show(to)))
			continue
		}
		lines = append(lines, fmt.Sprintf("%s -> %s", show(from), show(to)))
	}
	return lines
}

func shownNode(id string) string {
	if id == "" {
		return "this node"
	}
	return id
}
