package command

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/place"
)

// transferID is what the API accepts.
var transferID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:+~-]{0,127}$`)

func checkID(id string) error {
	if !transferID.MatchString(id) {
		return exit.Usagef("%q is not a transfer id: it has 1 to 128 of the characters A-Z a-z 0-9 . _ : + ~ -, the first a letter or digit", id)
	}
	return nil
}

// splitName takes a full name or "owner/id" apart.
func splitName(name string) (owner, id string, ok bool) {
	if rest, found := strings.CutPrefix(name, "nodes/"); found {
		owner, id, ok = strings.Cut(rest, "/transfers/")
	} else {
		owner, id, ok = strings.Cut(name, "/")
	}
	return owner, id, ok && place.CheckNode(owner) == nil && transferID.MatchString(id)
}

// shortName is "owner/id", which every command takes.
func shortName(name string) string {
	if owner, id, ok := splitName(name); ok {
		return owner + "/" + id
	}
	return name
}

const nameUse = "A transfer is named nodes/NODE/transfers/ID, or NODE/ID for short, or by its ID\nalone: then the server is asked for it, and all nodes that answer within 2 s. In scripts\nuse NODE/ID."

// resolve returns the full name of a transfer that is to be changed. One of which
// only the id is given must be the only one of that id, as far as nodes answer, and
// one of another node than that which was asked for sure.
func (a *app) resolve(ctx context.Context, api API, arg string) (string, error) {
	return a.resolveFor(ctx, api, arg, true)
}

// resolveToLook is resolve for a transfer that is only looked at: one that was
// found will do, whoever does not answer, and that of the node which was asked
// comes first.
func (a *app) resolveToLook(ctx context.Context, api API, arg string) (string, error) {
	return a.resolveFor(ctx, api, arg, false)
}

func (a *app) resolveFor(ctx context.Context, api API, arg string, sure bool) (string, error) {
	if id, ok := strings.CutPrefix(arg, "nodes/-/transfers/"); ok && !strings.Contains(id, "/") {
		arg = id
	}
	if owner, id, ok := splitName(arg); ok {
		return client.Name(owner, id), nil
	}
	if strings.Contains(arg, "/") {
		return "", exit.Usagef("%q is not the name of a transfer: write NODE/ID or nodes/NODE/transfers/ID", arg)
	}
	if err := checkID(arg); err != nil {
		return "", err
	}
	return a.find(ctx, api, arg, sure)
}

func nodeID(n *xferv1.Node) string { return strings.TrimPrefix(n.GetName(), "nodes/") }

// places reads the paths of a command line and gives those without a node the
// node behind the unix socket.
func (a *app) places(ctx context.Context, args []string) ([]place.Place, error) {
	return a.placesBy(ctx, place.Parse, args)
}

// parser is place.Parse, or place.ParseAny where regions are welcome.
type parser func(arg string, cwd func() (string, error)) (place.Place, error)

func (a *app) placesBy(ctx context.Context, parse parser, args []string) ([]place.Place, error) {
	out := make([]place.Place, len(args))
	local := false
	for i, arg := range args {
		p, err := parse(arg, a.env.WorkDir)
		if err != nil {
			return nil, exit.With(exit.Usage, err)
		}
		if p.Node == "" && !a.set.Local() {
			return nil, exit.Usagef("%q has no node, and the server %s is remote: write NODE:%s", arg, a.set.Server, p)
		}
		local = local || p.Node == ""
		out[i] = p
	}
	if !local {
		return out, nil
	}
	api, err := a.server(ctx)
	if err != nil {
		return nil, err
	}
	nodes, err := api.ListNodes(ctx)
	if err != nil {
		return nil, err
	}
	id, err := a.localNode(nodes)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, n := range nodes {
		ids = append(ids, nodeID(n))
	}
	for i := range out {
		if out[i].Node == "" {
			out[i].Node = id
			a.guessed(args[i], out[i], ids)
		}
	}
	return out, nil
}

// localNode returns the id of the node behind the unix socket: the one whose
// report in the list is its own.
func (a *app) localNode(nodes []*xferv1.Node) (string, error) {
	for _, n := range nodes {
		if n.GetOwnReport() {
			return nodeID(n), nil
		}
	}
	return "", fmt.Errorf("the server at %s does not say which node it is; write NODE:/path", a.set.Server)
}
