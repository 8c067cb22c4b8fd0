package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/place"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

const regionUse = "A region is named NODE:@REGION."

func (a *app) regionsCmd() *cobra.Command {
	var node string
	list := a.do(func(ctx context.Context, _ []string) error { return a.listRegions(ctx, node) })
	bind := func(cmd *cobra.Command) *cobra.Command {
		cmd.Flags().StringVar(&node, "node", "", "only those of this `node` (default all nodes)")
		_ = cmd.RegisterFlagCompletionFunc("node", a.completeNodes)
		return cmd
	}
	cmd := bind(&cobra.Command{
		Use:   "regions",
		Short: "Make, show and remove memory regions",
		Long: `Make, show and remove memory regions: memory that programs share with the xferd of
their node, for transfers to write and read. Programs attach over the unix socket of
the node. A region lives as long as a program is attached, and its --ttl longer.`,
		Example: "  xferctl regions\n  xferctl regions create n1:@weights --size 1GiB --ttl 1h\n  xferctl regions watch n1:@weights",
		Args:    groupArgs,
		RunE:    list,
	})
	cmd.AddCommand(
		bind(&cobra.Command{
			Use:   "ls [flags]",
			Short: "List memory regions",
			Long: `List the memory regions that you may read, by node and name. Where a node did not
answer, its regions are missing: then there is a warning and exit code 5.`,
			Example: "  xferctl regions ls --node n1\n  xferctl regions ls -o json",
			Args:    between(0, 0, "only flags"),
			RunE:    list,
		}),
		a.regionsCreateCmd(), a.regionsShowCmd(), a.regionsRenewCmd(), a.regionsRmCmd(), a.regionsWatchCmd(),
	)
	return cmd
}

// regionNames reads arguments that each name a whole region.
func regionNames(args []string) ([]place.Region, error) {
	out := make([]place.Region, len(args))
	for i, arg := range args {
		r, err := place.ParseRegion(arg)
		if err == nil && (r.Ranged || r.Length >= 0) {
			err = fmt.Errorf("%q names a range: here the region itself is wanted, %s:@%s", arg, r.Node, r.ID)
		}
		if err != nil {
			return nil, exit.With(exit.Usage, err)
		}
		out[i] = r
	}
	return out, nil
}

func regionName(r place.Region) string { return client.RegionName(r.Node, r.ID) }

// shownRegion is the name of a region as every command takes it.
func shownRegion(name string) string {
	node, id, err := client.ParseRegionName(name)
	if err != nil {
		return show.Name(name)
	}
	return show.Name(node + ":@" + id)
}

func (a *app) listRegions(ctx context.Context, node string) error {
	parent := client.AllNodes
	if node != "" && node != "-" {
		if err := place.CheckNode(node); err != nil {
			return exit.With(exit.Usage, err)
		}
		parent = client.NodeName(node)
	}
	api, err := a.server(ctx)
	if err != nil {
		return err
	}
	list, lost, err := api.ListRegions(ctx, parent)
	if err != nil {
		return err
	}
	lost = slices.Compact(slices.Sorted(slices.Values(lost)))
	err = a.print(func() any {
		return record.Object{{Name: "regions", Value: record.List(list)}, {Name: "unreachable", Value: append([]string{}, lost...)}}
	}, func() error {
		t := &show.Table{Header: []string{"REGION", "STATE", "SIZE", "GENERATION", "WRITES", "ATTACHED", "EXPIRES", "OWNER"}}
		for _, g := range list {
			t.Rows = append(t.Rows, regionRow(g))
		}
		return a.table(t)
	})
	if err == nil && len(lost) > 0 {
		return exit.With(exit.Partial, fmt.Errorf("the list is not complete: no answer from %s", show.Name(strings.Join(lost, ", "))))
	}
	return err
}

func regionRow(g *xferv1.Region) []show.Cell {
	expires := "-"
	if t := g.GetExpireTime(); t != nil {
		expires = show.When(t.AsTime())
	}
	return []show.Cell{
		show.T(shownRegion(g.GetName())), regionState(g), show.N(show.Size(g.GetSizeBytes())), show.N(fmt.Sprint(g.GetGeneration())),
		show.N(fmt.Sprint(g.GetOpenWrites())), show.N(fmt.Sprint(g.GetAttached())), show.T(expires), show.T(show.Name(g.GetOwner())),
	}
}

// regionState is the state of a region, and that it is torn where it is.
func regionState(g *xferv1.Region) show.Cell {
	c := show.Cell{Text: word(g.GetState(), "REGION_STATE_"), Color: show.Yellow}
	switch g.GetState() {
	case xferv1.RegionState_REGION_STATE_READY:
		c.Color = show.Green
	case xferv1.RegionState_REGION_STATE_QUARANTINED:
		c.Color = show.Red
	}
	if g.GetTornCount() > 0 {
		c.Text += ", torn"
		c.Color = show.Red
	}
	return c
}

func (a *app) regionsShowCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "show NODE:@REGION",
		Short:   "Show all that is known of a memory region",
		Long:    "Show all that is known of a memory region: who may use it, its lease, what writes to\nit, and the ranges that are undefined.\n\n" + regionUse,
		Example: "  xferctl regions show n1:@weights\n  xferctl regions show -o yaml n1:@weights",
		Args:    between(1, 1, "one REGION"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			names, err := regionNames(args)
			if err != nil {
				return err
			}
			api, err := a.server(ctx)
			if err != nil {
				return err
			}
			g, err := api.GetRegion(ctx, regionName(names[0]))
			if err != nil {
				return err
			}
			return a.printRegion(g)
		}),
		ValidArgsFunction: a.completeRegions,
	}
}

func (a *app) printRegion(g *xferv1.Region) error {
	return a.print(func() any { return record.Of(g) }, func() error {
		_ = show.Pairs(a.out, regionPairs(g)) // the sink remembers its error
		return nil
	})
}

func regionPairs(g *xferv1.Region) [][2]string {
	count := func(n int64) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprint(n)
	}
	var torn []string
	for _, r := range g.GetTorn()[:min(len(g.GetTorn()), 16)] {
		torn = append(torn, fmt.Sprintf("+%d,%d", r.GetOffset(), r.GetLength()))
	}
	if more := g.GetTornCount() - int64(len(torn)); more > 0 {
		torn = append(torn, fmt.Sprintf("and %d more", more))
	}
	var labels []string
	for k, v := range g.GetLabels() {
		labels = append(labels, show.Name(k+"="+v))
	}
	slices.Sort(labels)
	pages, numa, expires := "", "", "not while a program is attached"
	if g.GetPageSize() > 0 {
		pages = show.Size(g.GetPageSize())
	}
	if g.NumaNode != nil {
		numa = fmt.Sprint(g.GetNumaNode())
	}
	if t := g.GetExpireTime(); t != nil {
		expires = show.When(t.AsTime())
	}
	foreign := ""
	if g.GetForeign() {
		foreign = "a program's own, which offers it"
	}
	return [][2]string{
		{"region", shownRegion(g.GetName())}, {"uid", g.GetUid()}, {"state", regionState(g).Text}, {"why", show.Name(g.GetStateDetail())},
		{"size", show.Size(g.GetSizeBytes())}, {"huge pages", pages}, {"NUMA node", numa}, {"memory", foreign},
		{"owner", show.Name(g.GetOwner())}, {"readers", show.Name(strings.Join(g.GetReaders(), ", "))}, {"writers", show.Name(strings.Join(g.GetWriters(), ", "))},
		{"labels", strings.Join(labels, ", ")}, {"made", show.When(g.GetCreateTime().AsTime())}, {"ttl", show.Elapsed(g.GetTtl().AsDuration())},
		{"expires", expires}, {"generation", fmt.Sprint(g.GetGeneration())}, {"attached", fmt.Sprint(g.GetAttached())},
		{"open writes", count(int64(g.GetOpenWrites()))}, {"torn", strings.Join(torn, " ")}, {"pinned", pinned(g)},
	}
}

func pinned(g *xferv1.Region) string {
	if g.GetPinnedBytes() == 0 {
		return ""
	}
	return show.Size(g.GetPinnedBytes())
}

// completeRegions offers the regions of all nodes.
func (a *app) completeRegions(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.completing(cmd, func(ctx context.Context, api API) []string {
		list, _, err := api.ListRegions(ctx, client.AllNodes)
		if err != nil {
			return nil
		}
		var out []string
		for _, g := range list {
			out = append(out, shownRegion(g.GetName())+"\t"+show.Size(g.GetSizeBytes()))
		}
		return out
	}), cobra.ShellCompDirectiveNoFileComp
}
