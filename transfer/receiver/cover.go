package receiver

import (
	"strings"

	"github.com/xferd/xferd/internal/fsroot"
)

// cover is what a destination lock keeps others from: the destination as a whole,
// or, where the names that land in it are known, only these.
type cover struct {
	root  identity
	names map[string]bool // nil: all of it
	// alias is a destination that is covered as a whole, by the directory that it
	// lies in and its last name, whatever that name leads to. Nil where it has none.
	alias *identity
	// in and rel say where the names are looked up. Nil: the cover is remembered, and
	// may be somewhere else by now.
	in  *fsroot.Root
	rel string
}

// newCover resolves what a lock of a destination covers; see identify for inner.
func newCover(root *fsroot.Root, rel string, names map[string]bool, inner bool) (cover, error) {
	id, err := identify(root, rel, inner)
	if err != nil {
		return cover{}, err
	}
	c := cover{root: id, names: names, in: root, rel: rel}
	if names == nil && rel != "" {
		if above, err := identify(root, parentOf(rel), false); err == nil {
			alias := above.child(baseOf(rel))
			c.alias = &alias
		}
	}
	return c, nil
}

// known is what is known of a cover without a look at its names.
func (c *cover) known() *cover {
	k := *c
	k.in = nil
	return &k
}

// near says whether two covers are in one file system, or were at one path when
// another was mounted there.
func (c *cover) near(o *cover) bool {
	return c.root.Dev == o.root.Dev || len(c.root.Real) > 0 && string(c.root.Real) == string(o.root.Real)
}

// meets says whether two locks are in each other's way, and at which name in a
// directory, "" where one covers all of it. deletes says that one of the two does;
// that one covers a whole.
func (c *cover) meets(o *cover, deletes bool) (name string, ok bool) {
	switch {
	case c.names == nil && o.names == nil:
		return "", c.root.same(&o.root) || deletes && c.root.nested(&o.root)
	case o.names == nil:
		return c.meetsWhole(o, deletes)
	case c.names == nil:
		return o.meetsWhole(c, deletes)
	case c.root.same(&o.root):
		return c.common(o)
	}
	return "", false
}

// meetsWhole is meets of names with a whole.
func (c *cover) meetsWhole(whole *cover, deletes bool) (name string, ok bool) {
	if c.root.same(&whole.root) || deletes && whole.root.holds(&c.root) {
		return "", true
	}
	for _, id := range []*identity{&whole.root, whole.alias} {
		if id == nil {
			continue
		}
		if way, ok := c.root.below(id); ok {
			name, deeper, _ := strings.Cut(way, "/")
			if c.names[name] && (deletes || deeper == "") {
				return name, true
			}
		}
	}
	// A directory may be there by two names: by a mount, or on a file system that
	// does not tell case.
	c.standing(func(n string, info *fsroot.Info) bool {
		if info.Kind != fsroot.Directory {
			return true
		}
		if info.Dev == whole.root.Dev && info.Ino == whole.root.Ino {
			ok = deletes || len(whole.root.Rest) == 0
		} else if deletes {
			id, err := identify(c.in, joinRel(c.rel, n), true)
			ok = err == nil && id.nested(&whole.root)
		}
		if ok {
			name = n
		}
		return !ok
	})
	return name, ok
}

// common looks for a name of one directory that both cover. Two names are one where
// what is there has both, as on a file system that does not tell case.
func (c *cover) common(o *cover) (name string, ok bool) {
	few, many := c, o
	if len(few.names) > len(many.names) {
		few, many = many, few
	}
	for name := range few.names {
		if many.names[name] {
			return name, true
		}
	}
	there := map[fileID]bool{}
	few.standing(func(_ string, info *fsroot.Info) bool {
		there[fileID{info.Dev, info.Ino}] = true
		return true
	})
	if len(there) == 0 {
		return "", false
	}
	many.standing(func(n string, info *fsroot.Info) bool {
		// A file with two names may be two hard links: one of them is replaced.
		if (info.Kind == fsroot.Directory || info.Nlink == 1) && there[fileID{info.Dev, info.Ino}] {
			name, ok = n, true
		}
		return !ok
	})
	return name, ok
}

// standing yields the names that something has, until yield returns false.
func (c *cover) standing(yield func(name string, info *fsroot.Info) bool) {
	if c.in == nil {
		return
	}
	d, err := c.in.OpenDir(c.rel)
	if err != nil {
		return // nothing is there yet
	}
	defer d.Close()
	for name := range c.names {
		if info, err := d.Lstat(name); err == nil && !yield(name, &info) {
			return
		}
	}
}
