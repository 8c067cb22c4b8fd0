package command

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
)

// nodePatience is how long a node may take that is asked beside others. It is what
// the daemon gives each of them in a list of all.
const nodePatience = 2 * time.Second

// asked is what the nodes said of an id.
type asked struct {
	found  []string // full names
	own    string   // the one of the node that was asked, where it has one
	silent []string // nodes that did not answer, or left
}

// find asks for a transfer with that id: first the node behind the server, then
// every other one that did not leave, for nodePatience. Where sure is not
// set, what the first one has will do.
func (a *app) find(ctx context.Context, api API, id string, sure bool) (string, error) {
	nodes, err := api.ListNodes(ctx)
	if err != nil {
		return "", err
	}
	var r asked
	var others []*xferv1.Node
	for _, n := range nodes {
		switch {
		case n.GetOwnReport():
			if r.own, err = has(ctx, api, n, id); err != nil {
				return "", err
			}
			if r.own != "" {
				r.found = append(r.found, r.own)
			}
		case n.GetState() == xferv1.NodeState_NODE_STATE_LEFT:
			r.silent = append(r.silent, nodeID(n))
		default:
			others = append(others, n)
		}
	}
	if r.own != "" && !sure {
		return r.own, nil
	}
	r.ask(ctx, api, others, id)
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	return a.choose(&r, id, sure, nodes)
}

// has returns the full name of the transfer of that id at a node, "" where there is
// none.
func has(ctx context.Context, api API, n *xferv1.Node, id string) (string, error) {
	t, err := api.Get(ctx, client.Name(nodeID(n), id))
	switch {
	case err == nil:
		return t.GetName(), nil
	case is(err, xferv1.Reason_REASON_TRANSFER_NOT_FOUND):
		return "", nil
	}
	return "", err
}

// ask asks nodes at once.
func (r *asked) ask(ctx context.Context, api API, nodes []*xferv1.Node, id string) {
	names := make([]string, len(nodes))
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i, n := range nodes {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, nodePatience)
			defer cancel()
			names[i], errs[i] = has(ctx, api, n, id)
		})
	}
	wg.Wait()
	for i, n := range nodes {
		switch {
		case names[i] != "":
			r.found = append(r.found, names[i])
		case errs[i] != nil:
			r.silent = append(r.silent, nodeID(n))
		}
	}
}

// choose says which transfer is meant. A node that is not there matters only where
// nobody has the id, or where another node than the one that was asked has it and it
// is to be changed.
func (a *app) choose(r *asked, id string, sure bool, nodes []*xferv1.Node) (string, error) {
	left := map[string]bool{} // they matter only when nobody has it
	for _, n := range nodes {
		left[nodeID(n)] = n.GetState() == xferv1.NodeState_NODE_STATE_LEFT
	}
	var matter []string
	slices.Sort(r.silent)
	for _, n := range r.silent {
		if !left[n] {
			matter = append(matter, n)
		}
	}
	switch {
	case len(r.found) > 1:
		return "", exit.Usagef("%q is the id of several transfers: %s; name the one that is meant", id, strings.Join(r.found, ", "))
	case len(r.found) == 1 && sure && len(matter) > 0 && r.own != "":
		a.warn(fmt.Sprintf("%s did not answer, so %s of the node that was asked is meant", strings.Join(matter, ", "), shortName(r.own)))
		return r.own, nil
	case len(r.found) == 1 && (!sure || len(matter) == 0):
		return r.found[0], nil
	case len(r.found) == 1:
		return "", exit.With(exit.Unavailable, fmt.Errorf("%s has the id %q, but whether others have it too is not known, since %s did not answer; give the whole name", r.found[0], id, strings.Join(matter, ", ")))
	case len(r.silent) > 0:
		return "", exit.With(exit.Unavailable, fmt.Errorf("no transfer %q was found, but %s did not answer", id, strings.Join(r.silent, ", ")))
	}
	return "", exit.With(exit.NotFound, fmt.Errorf("no node has a transfer %q; list the ones there are: xferctl transfers ls", id))
}
