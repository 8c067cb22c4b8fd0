package fsroot

import "strings"

// The limits of a path. The kernel's PATH_MAX counts the final NUL, so a path
// of 4096 bytes can be resolved only below a root with a name of its own.
const (
	MaxPath  = 4096 // bytes of an absolute path
	MaxName  = 255  // bytes of one component
	MaxDepth = 256  // components
)

// CheckName tells whether name is one usable component: 1 to 255 bytes, no
// slash, no NUL, not "." and not "..". Otherwise the error is ErrBadPath.
func CheckName(name string) error {
	switch {
	case name == "":
		return errEmpty
	case len(name) > MaxName:
		return errLongName
	case name == "." || name == "..":
		return errDot
	}
	for i := range len(name) {
		switch name[i] {
		case 0:
			return errNUL
		case '/':
			return errSlash
		}
	}
	return nil
}

// checkRel is the rule for paths within a root: components as in CheckName,
// joined by single slashes. "" is the root itself.
func checkRel(rel string) error {
	if rel == "" {
		return nil
	}
	if rel[0] == '/' {
		return errNotRel
	}
	return checkComponents(rel)
}

func checkComponents(p string) error {
	if len(p) > MaxPath {
		return errLongPath
	}
	for depth := 1; ; depth++ {
		if depth > MaxDepth {
			return errDeep
		}
		name, rest, more := strings.Cut(p, "/")
		if name == "" {
			return errComp
		}
		if err := CheckName(name); err != nil {
			return err
		}
		if !more {
			return nil
		}
		p = rest
	}
}

// checkAbs is the rule for absolute paths. "/" alone is allowed.
func checkAbs(path string) error {
	switch {
	case path == "":
		return errEmpty
	case path[0] != '/':
		return errRelative
	case len(path) > MaxPath:
		return errLongPath
	case path == "/":
		return nil
	}
	return checkComponents(path[1:])
}

// below returns path relative to root, if root holds it by whole components.
func below(root, path string) (rel string, ok bool) {
	if root == "/" {
		return path[1:], true
	}
	rest, ok := strings.CutPrefix(path, root)
	if !ok {
		return "", false
	}
	if rest == "" {
		return "", true
	}
	return rest[1:], rest[0] == '/'
}

func join(dir, name string) string {
	switch {
	case dir == "":
		return name
	case name == "":
		return dir
	}
	return dir + "/" + name
}

func absPath(root, rel string) string {
	switch {
	case rel == "":
		return root
	case root == "/":
		return "/" + rel
	}
	return root + "/" + rel
}

// parent returns the path without its last component.
func parent(rel string) string {
	if i := strings.LastIndexByte(rel, '/'); i >= 0 {
		return rel[:i]
	}
	return ""
}

// base returns the last component.
func base(rel string) string { return rel[strings.LastIndexByte(rel, '/')+1:] }
