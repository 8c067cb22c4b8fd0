package receiver

import (
	"errors"
	"strings"
	"syscall"

	"github.com/xferd/xferd/internal/fsroot"
)

// identity is a destination root as the file system knows it: the deepest
// directory that exists, and the names below it that do not.
type identity struct {
	Dev, Ino uint64
	Rest     []byte // names joined by slashes
	// Real is the path without symbolic links, to see whether one root lies in
	// another. It is empty where /proc is not there.
	Real []byte
	// Inner is the path within the file system of Dev, which tells the same of
	// roots that meet through a bind mount. It is empty where /proc is not there.
	Inner []byte `json:",omitempty"`
}

// same says whether both are one place.
func (a *identity) same(b *identity) bool {
	return a.Dev == b.Dev && a.Ino == b.Ino && string(a.Rest) == string(b.Rest)
}

// nested says whether one place lies in the other.
func (a *identity) nested(b *identity) bool { return a.holds(b) || b.holds(a) }

// holds says whether b is a, or lies in it, by any name.
func (a *identity) holds(b *identity) bool {
	_, ok := a.below(b)
	return ok
}

// below returns the way from a to b, where b is a or lies in it, by any name.
func (a *identity) below(b *identity) (way string, ok bool) {
	if a.Dev == b.Dev && a.Ino == b.Ino {
		return wayTo(string(a.Rest), string(b.Rest))
	}
	if len(a.Real) > 0 && len(b.Real) > 0 {
		if way, ok := wayTo(string(a.Real), string(b.Real)); ok {
			return way, true
		}
	}
	if a.Dev == b.Dev && len(a.Inner) > 0 && len(b.Inner) > 0 {
		return wayTo(string(a.Inner), string(b.Inner))
	}
	return "", false
}

// child is the place of a name in a.
func (a *identity) child(name string) identity {
	c := identity{Dev: a.Dev, Ino: a.Ino, Rest: []byte(joinRel(string(a.Rest), name))}
	if len(a.Real) > 0 {
		c.Real = []byte(joinPath(string(a.Real), name))
	}
	if len(a.Inner) > 0 {
		c.Inner = []byte(joinPath(string(a.Inner), name))
	}
	return c
}

// within says whether path is dir or below it, by whole components.
func within(dir, path string) bool {
	_, ok := wayTo(dir, path)
	return ok
}

// wayTo returns the path from dir to what is dir or below it, by whole components.
func wayTo(dir, path string) (way string, ok bool) {
	rest, ok := strings.CutPrefix(path, dir)
	if !ok || dir != "" && dir != "/" && rest != "" && rest[0] != '/' {
		return "", false
	}
	return strings.TrimPrefix(rest, "/"), true
}

// identify resolves rel as far as it exists. A symbolic link to a directory
// counts as the directory, anything else at the end as a name. inner asks for the
// path within the file system, which takes a look at all mounts.
func identify(root *fsroot.Root, rel string, inner bool) (identity, error) {
	have := rel
	for {
		d, err := root.OpenDir(have)
		if err != nil {
			// At the end of the path a file, and a link that leads nowhere useful,
			// are names that may be replaced.
			missing := errors.Is(err, syscall.ENOENT) ||
				have == rel && (errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP) || errors.Is(err, fsroot.ErrEscapes))
			if !missing || have == "" {
				return identity{}, err
			}
			have = parentOf(have)
			continue
		}
		defer d.Close()
		info, err := d.Info()
		if err != nil {
			return identity{}, err
		}
		id := identity{Dev: info.Dev, Ino: info.Ino, Rest: []byte(strings.TrimPrefix(rel[len(have):], "/"))}
		if real := d.KernelPath(); real != "" {
			id.Real = []byte(joinPath(real, string(id.Rest)))
		}
		if !inner {
			return id, nil
		}
		if p := d.InnerPath(); p != "" {
			id.Inner = []byte(joinPath(p, string(id.Rest)))
		}
		return id, nil
	}
}

// missing returns the paths below have up to rel that do not exist yet,
// outermost first.
func (a *identity) missing(rel string) []string {
	var list []string
	names := string(a.Rest)
	if names == "" {
		return nil
	}
	have := strings.TrimSuffix(strings.TrimSuffix(rel, names), "/")
	for name := range strings.SplitSeq(names, "/") {
		have = joinRel(have, name)
		list = append(list, have)
	}
	return list
}

func parentOf(rel string) string {
	if i := strings.LastIndexByte(rel, '/'); i >= 0 {
		return rel[:i]
	}
	return ""
}

func baseOf(rel string) string { return rel[strings.LastIndexByte(rel, '/')+1:] }

func joinRel(dir, name string) string {
	switch {
	case dir == "":
		return name
	case name == "":
		return dir
	}
	return dir + "/" + name
}

// joinPath is joinRel for an absolute directory, which may be "/".
func joinPath(dir, name string) string {
	if name == "" {
		return dir
	}
	return strings.TrimSuffix(dir, "/") + "/" + name
}
