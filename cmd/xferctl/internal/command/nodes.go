package command

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/place"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

func (a *app) nodesCmd() *cobra.Command {
	list := a.do(func(ctx context.Context, _ []string) error { return a.listNodes(ctx) })
	cmd := &cobra.Command{
		Use:   "nodes",
		Short: "Show the nodes of the cluster; drain and undrain them",
		Long: `Show the nodes of the cluster as the asked one knows them: whether they answer,
what they move bytes by (with the reason where that is not RDMA), and whether they
are drained or run without TLS.`,
		Example: "  xferctl nodes\n  xferctl nodes drain n3",
		Args:    groupArgs,
		RunE:    list,
	}
	cmd.AddCommand(
		&cobra.Command{
			Use:     "ls",
			Short:   "Show the nodes of the cluster",
			Long:    "Show the nodes of the cluster as the asked one knows them. The same as nodes alone.",
			Example: "  xferctl nodes ls -o json",
			Args:    between(0, 0, "no arguments"),
			RunE:    list,
		},
		a.nodesShowCmd(),
		a.drainCmd("drain", "Make nodes take no new transfers",
			"Make nodes take no new transfers, as source or target. Those that they have go on.\nThis is remembered over restarts, until undrain. For administrators.", API.Drain),
		a.drainCmd("undrain", "Make nodes take transfers again",
			"Undo drain. For administrators.", API.Undrain),
	)
	return cmd
}

func (a *app) drainCmd(name, short, long string, call func(API, context.Context, string) (*xferv1.Node, error)) *cobra.Command {
	return &cobra.Command{
		Use:     name + " NODE...",
		Short:   short,
		Long:    long,
		Example: "  xferctl nodes " + name + " n3",
		Args:    between(1, noLimit, "at least one NODE"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			for _, id := range args {
				if err := place.CheckNode(id); err != nil {
					return exit.With(exit.Usage, err)
				}
			}
			api, err := a.server(ctx)
			if err != nil {
				return err
			}
			var nodes []*xferv1.Node
			for _, id := range args {
				n, err := call(api, ctx, id)
				if err != nil {
					return err
				}
				nodes = append(nodes, n)
			}
			return a.printNodes(nodes)
		}),
		ValidArgsFunction: a.completeNodes,
	}
}

func (a *app) listNodes(ctx context.Context) error {
	api, err := a.server(ctx)
	if err != nil {
		return err
	}
	nodes, err := api.ListNodes(ctx)
	if err != nil {
		return err
	}
	return a.printNodes(nodes)
}

func (a *app) printNodes(nodes []*xferv1.Node) error {
	return a.print(func() any {
		return record.Object{{Name: "nodes", Value: record.List(nodes)}}
	}, func() error {
		t := &show.Table{Header: []string{"NODE", "STATE", "TRANSPORTS", "ADDRESS", "VERSION", "NOTES", "LABELS"}}
		for _, n := range nodes {
			t.Rows = append(t.Rows, nodeRow(n))
		}
		return a.table(t)
	})
}

func nodeRow(n *xferv1.Node) []show.Cell {
	state := show.Cell{Text: word(n.GetState(), "NODE_STATE_"), Color: show.Red}
	switch n.GetState() {
	case xferv1.NodeState_NODE_STATE_ALIVE:
		state.Color = show.Green
	case xferv1.NodeState_NODE_STATE_LEFT:
		state.Color = show.Plain
	}
	var transports, notes, labels []string
	for _, t := range n.GetTransports() {
		transports = append(transports, transportWord(t))
	}
	for _, note := range []struct {
		on   bool
		text string
	}{{n.GetDraining(), "draining"}, {n.GetInsecure(), "insecure"}, {n.GetDuplicate(), "two processes claim this id"}} {
		if note.on {
			notes = append(notes, note.text)
		}
	}
	for _, f := range n.GetFailingFileSystems() { // of a node that tells itself
		if note := diskNote(f); !slices.Contains(notes, note) {
			notes = append(notes, note)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(n.GetLabels())) {
		labels = append(labels, show.Name(k+"="+n.GetLabels()[k]))
	}
	return []show.Cell{
		show.T(show.Name(nodeID(n))), state, show.T(orDash(strings.Join(transports, ", "))), show.T(orDash(show.Name(n.GetControlAddress()))),
		show.T(orDash(show.Name(n.GetVersion()))), show.T(orDash(strings.Join(notes, ","))), show.T(orDash(strings.Join(labels, ","))),
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
