package command

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/flagval"
)

func (a *app) regionsCreateCmd() *cobra.Command {
	var size, pages flagval.Size
	var numa int32
	var foreign bool
	var readers, writers []string
	var labels flagval.Labels
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "create [flags] --size SIZE NODE:@REGION",
		Short: "Make a memory region",
		Long: `Make a memory region, with all its pages. It belongs to you; --reader and --writer
let others use it, by their principals as "uid:1000", or "*" for everybody who may
call the node. It goes when no program was attached to it for its --ttl.

` + regionUse,
		Example: "  xferctl regions create n1:@weights --size 1GiB --ttl 1h\n  xferctl regions create n1:@halo --size 64MiB --huge-pages 2MiB --numa-node 0 --writer uid:1000",
		Args:    between(1, 1, "one REGION"),
	}
	f := cmd.Flags()
	f.Var(&size, "size", "its size, such as 64MiB: a multiple of 4KiB, and of --huge-pages (required)")
	f.Var(&pages, "huge-pages", "make it of huge pages of this size, such as 2MiB")
	f.Int32Var(&numa, "numa-node", 0, "the NUMA `node` that its pages are on (default any)")
	f.BoolVar(&foreign, "foreign", false, "its memory is a program's own, which offers it")
	f.StringArrayVar(&readers, "reader", nil, "a `principal` who may read it; may be given again")
	f.StringArrayVar(&writers, "writer", nil, "a `principal` who may write it, and read it; may be given again")
	f.Var(&labels, "label", "a mark of your own, `key=value`; may be given again")
	f.DurationVar(&ttl, "ttl", 0, "how long it lives while no program is attached, such as 1h (default 1m)")
	cmd.RunE = a.do(func(ctx context.Context, args []string) error {
		names, err := regionNames(args)
		if err != nil {
			return err
		}
		g := &xferv1.Region{
			SizeBytes: size.Bytes, PageSize: pages.Bytes, Foreign: foreign, Readers: readers, Writers: writers, Labels: labels.Map,
		}
		if size.Bytes == 0 {
			return exit.Usagef("--size is missing, or 0: write one such as --size 64MiB")
		}
		if cmd.Flags().Changed("numa-node") {
			g.NumaNode = &numa
		}
		if cmd.Flags().Changed("ttl") {
			g.Ttl = durationpb.New(ttl)
		}
		api, err := a.server(ctx)
		if err != nil {
			return err
		}
		made, err := api.CreateRegion(ctx, names[0].Node, names[0].ID, g)
		if err != nil {
			return err
		}
		if a.flags.quiet && a.set.Output == "table" {
			return nil
		}
		return a.printRegion(made)
	})
	return cmd
}

func (a *app) regionsRenewCmd() *cobra.Command {
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:     "renew [flags] NODE:@REGION...",
		Short:   "Begin the lease of memory regions anew",
		Long:    "Begin the lease of memory regions anew, as long as it was or, with --ttl, longer or\nshorter from now on. For their owners.\n\n" + regionUse,
		Example: "  xferctl regions renew n1:@weights\n  xferctl regions renew --ttl 24h n1:@weights",
		Args:    between(1, noLimit, "at least one REGION"),
	}
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "how long they live while no program is attached, such as 1h (default as before)")
	cmd.ValidArgsFunction = a.completeRegions
	cmd.RunE = a.do(func(ctx context.Context, args []string) error {
		names, err := regionNames(args)
		if err != nil {
			return err
		}
		api, err := a.server(ctx)
		if err != nil {
			return err
		}
		for _, r := range names {
			g, fields := &xferv1.Region{Name: regionName(r)}, []string(nil)
			if cmd.Flags().Changed("ttl") {
				g.Ttl, fields = durationpb.New(ttl), []string{"ttl"}
			}
			if _, err := api.UpdateRegion(ctx, g, fields...); err != nil {
				return err
			}
		}
		return nil
	})
	return cmd
}

func (a *app) regionsRmCmd() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "rm [flags] NODE:@REGION...",
		Short: "Remove memory regions",
		Long: `Remove memory regions. When it returns nothing can write their memory any more.
Programs that are attached keep what they have mapped. A region that transfers use is
refused, unless --force ends them. For their owners.

` + regionUse,
		Example: "  xferctl regions rm n1:@weights n2:@weights",
		Args:    between(1, noLimit, "at least one REGION"),
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "end the transfers that use them")
	cmd.ValidArgsFunction = a.completeRegions
	cmd.RunE = a.do(func(ctx context.Context, args []string) error {
		names, err := regionNames(args)
		if err != nil {
			return err
		}
		api, err := a.server(ctx)
		if err != nil {
			return err
		}
		var failed []error
		for _, r := range names {
			if err := api.DeleteRegion(ctx, regionName(r), force); err != nil {
				failed = append(failed, err)
			}
		}
		if len(failed) == 0 {
			return nil
		}
		if len(failed) == 1 {
			return failed[0]
		}
		var codes []int
		for _, err := range failed {
			codes = append(codes, client.ExitCode(err))
		}
		code := exit.Worst(codes...)
		if len(slices.Compact(codes)) == 1 { // all for the same
			code = codes[0]
		}
		return exit.With(code, errors.Join(failed...))
	})
	return cmd
}
