package command

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/place"
)

// completeWait bounds what a press of the tab key may take.
const completeWait = 2 * time.Second

// completing gives a server to ask for completions; without one there are none.
func (a *app) completing(cmd *cobra.Command, ask func(ctx context.Context, api API) []string) []string {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeWait)
	defer cancel()
	a.flags.quiet = true
	if a.load(cmd) != nil {
		return nil
	}
	api, err := a.server(ctx)
	if err != nil {
		return nil
	}
	return ask(ctx, api)
}

func (a *app) nodeIDs(cmd *cobra.Command) []string {
	return a.completing(cmd, func(ctx context.Context, api API) []string {
		nodes, err := api.ListNodes(ctx)
		if err != nil {
			return nil
		}
		var out []string
		for _, n := range nodes {
			out = append(out, nodeID(n))
		}
		return out
	})
}

func (a *app) completeNodes(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.nodeIDs(cmd), cobra.ShellCompDirectiveNoFileComp
}

// completeTransfers offers "owner/id", the newest first.
func (a *app) completeTransfers(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.completeListed(cmd, nil)
}

func (a *app) completeListed(cmd *cobra.Command, filter *xferv1.TransferFilter) ([]string, cobra.ShellCompDirective) {
	out := a.completing(cmd, func(ctx context.Context, api API) []string {
		list, err := api.List(ctx, &xferv1.ListTransfersRequest{Parent: client.AllNodes, Filter: filter, PageSize: 1000})
		if err != nil {
			return nil
		}
		var out []string
		for _, t := range list.Transfers {
			out = append([]string{shortName(t.GetName()) + "\t" + strings.ToLower(stateWord(t.GetState()))}, out...)
		}
		return out
	})
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// completeLive is completeTransfers for those that are not over.
func (a *app) completeLive(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	l := listFlags{active: true}
	filter, _ := l.filter() // it has no words to be wrong
	return a.completeListed(cmd, filter)
}

// completePlaces offers nodes, and after "node:" what is in the directory that
// was typed so far. Before a colon files of this machine fit as well.
func (a *app) completePlaces(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	node, path, ok := strings.Cut(typed, ":")
	if !ok && strings.Contains(typed, "/") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	if !ok {
		var out []string
		for _, id := range a.nodeIDs(cmd) {
			out = append(out, id+":")
		}
		return out, cobra.ShellCompDirectiveNoSpace
	}
	if place.CheckNode(node) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completing(cmd, func(ctx context.Context, api API) []string {
		return completeRemote(ctx, api, node, path)
	}), cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

func completeRemote(ctx context.Context, api API, node, path string) []string {
	dir := path[:strings.LastIndexByte(path, '/')+1]
	files, err := collect(api.Files(ctx, node, strings.TrimSuffix(dir, "/")))
	if err != nil || dir == "" || dir == "/" {
		// Above the exports there is nothing to list: offer them instead.
		dir = ""
		if files, err = collect(api.Files(ctx, node, "")); err != nil {
			return nil
		}
	}
	var out []string
	for _, f := range files {
		name := dir + string(f.GetPath())
		if strings.ContainsAny(name, "\t\n") {
			continue // the shells cannot take them
		}
		if f.GetKind() == xferv1.EntryKind_ENTRY_KIND_DIRECTORY {
			name += "/"
		}
		out = append(out, node+":"+name)
	}
	return out
}
