package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

func (a *app) regionsWatchCmd() *cobra.Command {
	var after uint64
	cmd := &cobra.Command{
		Use:   "watch [flags] NODE:@REGION",
		Short: "Watch what is written to a memory region",
		Long: `Print a line for each write of a memory region that became whole: its generation, what
was written, by which transfer; and one for each change of its state. It ends when the
region is deleted. With -o json each line is one JSON object, with the field "event":
region (how it is at first), commit, state.

` + regionUse,
		Example: "  xferctl regions watch n1:@weights\n  xferctl regions watch --after 7 -o json n1:@weights",
		Args:    between(1, 1, "one REGION"),
	}
	cmd.Flags().Uint64Var(&after, "after", 0, "begin with what came after this `generation` (default from now on)")
	cmd.ValidArgsFunction = a.completeRegions
	cmd.RunE = a.do(func(ctx context.Context, args []string) error {
		if a.set.Output == "yaml" {
			return exit.Usagef("watch prints a table or json, not yaml")
		}
		names, err := regionNames(args)
		if err != nil {
			return err
		}
		var from *uint64
		if cmd.Flags().Changed("after") {
			from = &after
		}
		return a.watchRegion(ctx, regionName(names[0]), from)
	})
	return cmd
}

func (a *app) watchRegion(ctx context.Context, name string, after *uint64) error {
	api, err := a.server(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	signals, stop := a.env.Signals()
	defer stop()
	watching := make(chan struct{})
	defer close(watching)
	go func() { // ends with the watch
		select {
		case s := <-signals:
			cancel(&signalError{s})
		case <-watching:
		}
	}()
	for m, err := range api.WatchRegion(ctx, name, after) {
		if s, ok := errors.AsType[*signalError](context.Cause(ctx)); ok {
			return exit.Silent(signalCode(s.s))
		}
		if err != nil {
			return err
		}
		a.regionNews(name, m)
		if a.out.failed != nil {
			return a.out.failed
		}
	}
	return nil
}

func (a *app) regionNews(name string, m *xferv1.WatchRegionResponse) {
	state := word(m.GetState(), "REGION_STATE_")
	if a.set.Output == "json" {
		kind := "state"
		switch {
		case m.GetRegion() != nil:
			kind = "region"
		case m.GetCommit() != nil:
			kind = "commit"
		}
		fields := record.Of(m)
		for i := range fields {
			if fields[i].Name == "time" { // an event has one: that of its line
				fields[i].Name = "change_time"
			}
		}
		a.event(kind, fields...)
		return
	}
	if g := m.GetRegion(); g != nil {
		if !a.flags.quiet {
			a.outf("%s  %s, %s, generation %d\n", shownRegion(name), regionState(g).Text, show.Size(g.GetSizeBytes()), g.GetGeneration())
		}
		return
	}
	line := show.When(m.GetTime().AsTime()) + fmt.Sprintf("  generation %d", m.GetGeneration())
	c := m.GetCommit()
	if c == nil {
		a.outf("%s  %s\n", line, state)
		return
	}
	var ranges []string
	for _, r := range c.GetRanges() {
		ranges = append(ranges, fmt.Sprintf("+%d,%d", r.GetOffset(), r.GetLength()))
	}
	within := ""
	if c.GetRangesInexact() {
		within = "within "
	}
	line += fmt.Sprintf("  %s  %s%s", show.Size(c.GetBytes()), within, strings.Join(ranges, " "))
	if t := c.GetTransfer(); t != "" {
		line += "  " + show.Name(shortName(t))
	}
	a.outf("%s  %s\n", line, show.Name(c.GetPrincipal()))
}
