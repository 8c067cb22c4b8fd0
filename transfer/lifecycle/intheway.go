package lifecycle

import (
	"slices"
	"strings"

	"github.com/xferd/xferd/transfer"
)

// inTheWay reports whether the target would refuse spec while it holds the
// destination of t, as far as the owner can tell.
func inTheWay(t *transfer.Transfer, spec *transfer.Spec) bool {
	deletes := t.Spec.Delete || spec.Delete
	want := landing{strings.TrimRight(spec.Dest, "/"), spec.Names()}
	held := t.Spec.Names()
	for _, dest := range []string{t.Spec.Dest, t.Resolved} {
		if dest != "" && want.meets(landing{strings.TrimRight(dest, "/"), held}, deletes) {
			return true
		}
	}
	return false
}

// landing is what a transfer covers at its target: a destination, or names in it.
type landing struct {
	dest  string   // without a slash at its end
	names []string // nil: all of it
}

// meets reports whether two are in each other's way; deletes says that one of the two
// deletes.
func (l landing) meets(o landing, deletes bool) bool {
	if l.dest == o.dest {
		return l.names == nil || o.names == nil || common(l.names, o.names)
	}
	if len(l.dest) > len(o.dest) {
		l, o = o, l
	}
	way, ok := strings.CutPrefix(o.dest, l.dest+"/")
	if !ok {
		return false
	}
	if l.names == nil {
		return deletes
	}
	name, deeper, _ := strings.Cut(way, "/")
	return slices.Contains(l.names, name) && (deletes || deeper == "" && o.names == nil)
}

func common(a, b []string) bool {
	has := make(map[string]bool, len(a))
	for _, name := range a {
		has[name] = true
	}
	return slices.ContainsFunc(b, func(name string) bool { return has[name] })
}
