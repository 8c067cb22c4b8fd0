package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/place"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

const explainLong = `Say how a copy would go, and do nothing: what becomes of which name, where the
destination really is, by which transport and why not by a better one, and what
each of the two nodes can do: with RDMA, its devices, ports and addresses with the
reason why one is not used, and the routes between them. Both nodes check the copy
as if it were submitted, so an error here is the one that cp would give.`

func (a *app) explainCmd() *cobra.Command {
	var s specFlags
	cmd := &cobra.Command{
		Use:     "explain [flags] SOURCE... DESTINATION",
		Short:   "Say by which path a copy would go, and why",
		Long:    explainLong,
		Example: "  xferctl explain n1:/data/set n2:/data/\n  xferctl explain --transport rdma n1:/data/set n2:/data/",
		Args:    between(2, noLimit, "at least one SOURCE and a DESTINATION"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			return a.explain(ctx, &s, args)
		}),
		ValidArgsFunction: a.completePlaces,
	}
	s.cmd = cmd
	s.bindTransport(cmd)
	return cmd
}

func (a *app) explain(ctx context.Context, s *specFlags, args []string) error {
	if err := s.check(); err != nil {
		return err
	}
	places, err := a.placesBy(ctx, place.ParseAny, args)
	if err != nil {
		return err
	}
	m, err := place.Copy(places[:len(places)-1], places[len(places)-1])
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	spec := &xferv1.TransferSpec{}
	setPlaces(spec, m)
	s.setTransport(spec)
	api, err := a.server(ctx)
	if err != nil {
		return err
	}
	if a.set.Output == "table" {
		a.printMapping(m) // before the errors, which may be about it
	}
	plan, err := api.Validate(ctx, spec)
	if err != nil {
		return err
	}
	source, target, err := explained(ctx, api, spec)
	if err != nil {
		return err
	}
	return a.print(func() any {
		return record.Object{
			{Name: "mapping", Value: mappingRecord(m)},
			{Name: "plan", Value: record.Of(plan)},
			{Name: "source", Value: record.Of(source)},
			{Name: "target", Value: record.Of(target)},
		}
	}, func() error {
		if err := show.Pairs(a.out, planPairs(spec, plan)); err != nil {
			return err
		}
		a.outf("\n%s can:\n", show.Name(nodeID(source)))
		a.printTransports(source)
		if target.GetName() != source.GetName() {
			a.outf("%s can:\n", show.Name(nodeID(target)))
			a.printTransports(target)
		}
		a.printRoutes(source, target)
		return nil
	})
}

func planPairs(spec *xferv1.TransferSpec, p *xferv1.Plan) [][2]string {
	transport := show.Name(p.GetTransport())
	switch {
	case p.GetReason() != "":
		transport += " (not a better one: " + show.Name(p.GetReason()) + ")"
	case transport != "":
		transport += " (the best there is)"
	}
	verify := show.Name(p.GetVerify())
	if p.GetTransport() == "local" && verify == "wire" && spec.GetDestination().GetRegion() == nil {
		verify = "kernel_copy" // what the result says then: no program sees the bytes
	}
	resolved := shownPlace(place.Place{Node: spec.GetTargetNode(), Path: string(p.GetResolvedDestination())})
	if to := placesOf(spec).Dest; to.Region != nil {
		resolved = shownPlace(to)
		transport += inPlace(spec, p)
	}
	free := show.Size(p.GetFreeBytes())
	if spec.GetDestination().GetRegion() != nil { // it takes no more than it has
		free = ""
	}
	return [][2]string{
		{"resolved", resolved},
		{"transport", transport},
		{"streams", fmt.Sprint(p.GetStreams())},
		{"verify", verify},
		{"free there", free},
	}
}

// inPlace says how bytes get into a region over a transport, and out of one.
func inPlace(spec *xferv1.TransferSpec, p *xferv1.Plan) string {
	fromRegion := true
	for _, s := range placesOf(spec).Sources {
		fromRegion = fromRegion && s.Region != nil
	}
	switch {
	case p.GetTransport() != "rdma":
		return ", received into the region itself"
	case fromRegion:
		return ", in place: one-sided writes from region to region"
	}
	return ", in place at the target; staged at the source"
}

func (a *app) printTransports(n *xferv1.Node) {
	if len(n.GetTransports()) == 0 {
		a.outf("  not known\n")
	}
	for _, t := range n.GetTransports() {
		a.outf("  %s\n", strings.TrimRight(transportWord(t)+"  "+show.Name(t.GetDetail()), " "))
		if t.GetName() == "rdma" {
			a.printDevices(n)
		}
	}
}

// transportWord is "tcp" or "rdma: no (NO_DEVICE)".
func transportWord(t *xferv1.NodeTransport) string {
	if t.GetUsable() {
		return show.Name(t.GetName())
	}
	return show.Name(t.GetName()) + ": no (" + show.Name(t.GetReason()) + ")"
}
