// Package place reads the paths that people type: "node:/abs/path", and paths
// of the own node. It decides by their slashes alone what a copy becomes; it
// looks at no file system and asks no server.
package place

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// Place is one path of one node, or a memory region.
type Place struct {
	// Node is empty for a path without a node: the node behind the unix socket.
	Node string
	// Path is absolute and clean. It is bytes and need not be UTF-8.
	Path string
	// Slash says that the path was typed with a trailing slash (or "/."). As a
	// source this is a directory's contents, as a destination "into it".
	Slash bool
	// Region is set instead of Path for a memory region. Its node is Node.
	Region *Region
}

// String gives the place as it would be typed.
func (p Place) String() string {
	if p.Region != nil {
		return p.Region.String()
	}
	s := p.Path
	if p.Slash && s != "/" {
		s += "/"
	}
	if p.Node == "" {
		return s
	}
	return p.Node + ":" + s
}

// nodeID is what xferd accepts as the name of a node.
var nodeID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// CheckNode reports why id cannot be the name of a node.
func CheckNode(id string) error {
	if !nodeID.MatchString(id) {
		return fmt.Errorf("%q is not a node id: it has letters, digits, '.', '_' and '-', at most 63 of them", id)
	}
	return nil
}

// ParseAny reads one path or memory region; see Parse and ParseRegion.
func ParseAny(arg string, cwd func() (string, error)) (Place, error) {
	if !IsRegion(arg) {
		return Parse(arg, cwd)
	}
	r, err := ParseRegion(arg)
	if err != nil {
		return Place{}, err
	}
	return Place{Node: r.Node, Region: &r}, nil
}

// Parse reads one path. The node ends at the first colon, unless a slash comes
// before it: "./a:b" is a path of the own node. Such a path may be relative to
// cwd, which is only called for that and must return a path without symbolic
// links.
func Parse(arg string, cwd func() (string, error)) (Place, error) {
	if arg == "" {
		return Place{}, errors.New("the path is empty")
	}
	if arg[0] == '[' {
		return Place{}, fmt.Errorf("%q: a node is named by its id, not by an address; xferctl nodes lists the ids", arg)
	}
	node, rest, ok := strings.Cut(arg, ":")
	if !ok || strings.Contains(node, "/") {
		return parseLocal(arg, cwd)
	}
	if err := checkNodePart(node, arg); err != nil {
		return Place{}, err
	}
	switch {
	case rest == "":
		return Place{}, fmt.Errorf("%q has no path: write %s:/path", arg, node)
	case rest[0] == '@':
		return Place{}, fmt.Errorf("%q names a memory region; here a path of a file or directory is wanted", arg)
	case rest[0] != '/':
		return Place{}, fmt.Errorf("%q: the path on a node must be absolute; did you mean %s:/%s? (for a file of this node whose name has a colon, write ./%s)", arg, node, rest, arg)
	}
	p, slash, err := clean(rest)
	if err != nil {
		return Place{}, fmt.Errorf("%q: %w", arg, err)
	}
	return Place{Node: node, Path: p, Slash: slash}, nil
}

func checkNodePart(node, arg string) error {
	switch {
	case node == "":
		return fmt.Errorf("%q: there is no node before the colon", arg)
	case strings.Contains(node, "@"):
		return fmt.Errorf("%q: a node is named by its id alone, without a user", arg)
	}
	if err := CheckNode(node); err != nil {
		return fmt.Errorf("%q: %w", arg, err)
	}
	return nil
}

func parseLocal(arg string, cwd func() (string, error)) (Place, error) {
	abs := arg
	if arg[0] != '/' {
		dir, err := cwd()
		if err != nil {
			return Place{}, fmt.Errorf("%q: working directory: %w", arg, err)
		}
		// Leading ".." may be taken off here, since cwd has no symbolic links.
		// Any later one could go through a link and is refused below.
		for {
			next, ok := cutDots(arg)
			if !ok {
				break
			}
			if strings.HasPrefix(arg, "..") {
				dir = path.Dir(dir)
			}
			arg = next
		}
		abs = strings.TrimSuffix(dir, "/") + "/" + arg
	}
	p, slash, err := clean(abs)
	if err != nil {
		return Place{}, fmt.Errorf("%q: %w", arg, err)
	}
	return Place{Path: p, Slash: slash}, nil
}

// cutDots takes a leading "." or ".." component off. What remains of a path
// that was nothing else is empty, which clean reads as a trailing slash:
// "." and ".." are directories, and their contents are meant.
func cutDots(s string) (rest string, ok bool) {
	for _, dots := range []string{"..", "."} {
		if s == dots {
			return "", true
		}
		if after, found := strings.CutPrefix(s, dots+"/"); found {
			return strings.TrimLeft(after, "/"), true
		}
	}
	return s, false
}

// clean drops empty and "." components of an absolute path, and refuses "..",
// which means different things before and after symbolic links are followed.
func clean(s string) (p string, slash bool, err error) {
	if strings.IndexByte(s, 0) >= 0 {
		return "", false, errors.New("the path has a NUL byte")
	}
	var b strings.Builder
	b.Grow(len(s))
	for c := range strings.SplitSeq(s, "/") {
		switch c {
		case "..":
			return "", false, errors.New(`".." inside a path is not allowed: write the path that is meant`)
		case "", ".":
			slash = true
		default:
			slash = false
			b.WriteByte('/')
			b.WriteString(c)
		}
	}
	if b.Len() == 0 {
		return "/", true, nil
	}
	return b.String(), slash, nil
}

// Relative cleans one name of a --files-from list: it is relative to the
// source, and a leading slash is ignored, as rsync does.
func Relative(s string) (string, error) {
	p, _, err := clean("/" + s)
	if err != nil {
		return "", fmt.Errorf("%q: %w", s, err)
	}
	if p == "/" {
		return ".", nil
	}
	return p[1:], nil
}
