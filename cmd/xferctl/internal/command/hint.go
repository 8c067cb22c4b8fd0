package command

import (
	"fmt"
	"slices"
	"strings"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/place"
)

// guess is a path that was typed without a node, and so was taken as one of the
// node that was asked.
type guess struct {
	typed string
	taken place.Place
	meant string // what may have been meant
}

// guessed notes such a path. nodes are the ids that are known.
func (a *app) guessed(typed string, taken place.Place, nodes []string) {
	first, rest, more := strings.Cut(typed, "/")
	meant := "NODE:" + taken.Path
	switch {
	case !slices.Contains(nodes, first):
	case more: // n1/data for n1:/data
		meant = first + ":/" + rest
	default:
		meant = first + ":"
	}
	a.guesses = append(a.guesses, guess{typed, taken, meant})
}

// hint says how to name a node, after an error that may come from a path that
// was looked for on the wrong one. node is that of the error; empty is any.
func (a *app) hint(reason, node string) {
	switch reason {
	case xferv1.Reason_REASON_PATH_NOT_ALLOWED.Name(), xferv1.Reason_REASON_SOURCE_NOT_FOUND.Name():
	default:
		return
	}
	for _, g := range a.guesses {
		if node != "" && node != g.taken.Node {
			continue
		}
		a.complain(fmt.Sprintf("%q has no node in front, so it was taken for a path of %s, the node that was asked; did you mean %s?", g.typed, g.taken.Node, g.meant))
	}
	a.guesses = nil
}
