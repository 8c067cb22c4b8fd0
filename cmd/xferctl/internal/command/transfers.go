package command

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

func (a *app) transfersCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "transfers",
		Aliases: []string{"transfer", "tr"},
		Short:   "Look at transfers, wait for them, steer them",
		Long:    "Look at transfers, wait for them, steer them.\n\n" + nameUse,
		Example: "  xferctl transfers ls --active\n  xferctl transfers watch n1/nightly-17\n  xferctl transfers cancel n1/nightly-17",
		Args:    groupArgs,
		RunE:    groupRun,
	}
	cmd.AddCommand(
		a.transfersLsCmd(), a.transfersShowCmd(), a.transfersWatchCmd(), a.transfersWaitCmd(),
		a.transfersCancelCmd(), a.transfersPauseCmd(), a.transfersResumeCmd(), a.transfersFinishCmd(), a.transfersRetryCmd(), a.transfersAbandonCmd(),
	)
	return cmd
}

// steer does one call for each transfer named, and prints what they are then.
// All are tried; the exit code is that of the first failure.
func (a *app) steer(ctx context.Context, args []string, call func(ctx context.Context, api API, name string) (*xferv1.Transfer, error)) error {
	api, err := a.server(ctx)
	if err != nil {
		return err
	}
	var done []*xferv1.Transfer
	var first error
	for _, arg := range args {
		name, err := a.resolve(ctx, api, arg)
		if err == nil {
			var t *xferv1.Transfer
			t, err = patiently(ctx, a, api, ownerOf(name), func(ctx context.Context) (*xferv1.Transfer, error) { return call(ctx, api, name) })
			if err == nil {
				done = append(done, t)
				continue
			}
		}
		if len(args) > 1 {
			err = fmt.Errorf("%s: %w", arg, err)
			a.complain(a.errorText(err))
		}
		if first == nil {
			first = err
		}
	}
	if len(done) > 0 && (!a.flags.quiet || a.set.Output != "table") { // a form is asked for by name
		if err := a.printSteered(done); err != nil {
			return err
		}
	}
	if first != nil && len(args) > 1 { // it was printed in its turn
		return exit.Silent(codeOf(first))
	}
	return first
}

func (a *app) printSteered(ts []*xferv1.Transfer) error {
	return a.print(func() any {
		return record.Object{{Name: "transfers", Value: transferRecords(ts)}}
	}, func() error {
		for _, t := range ts {
			a.outf("%s  %s\n", show.Name(t.GetName()), stateText(t))
		}
		return nil
	})
}

func stateCell(t *xferv1.Transfer) show.Cell {
	c := show.Cell{Text: stateText(t)}
	switch r := t.GetWaitingReason(); {
	case r == "":
	case r == xferv1.Reason_REASON_OWNER_UNREACHABLE.Name(): // as a target tells it
		c.Text = "ORPHANED"
	default:
		c.Text += " (waits: " + show.Name(r) + ")"
	}
	switch t.GetState() {
	case xferv1.State_STATE_SUCCEEDED:
		c.Color = show.Green
	case xferv1.State_STATE_FAILED:
		c.Color = show.Red
	case xferv1.State_STATE_PARTIALLY_SUCCEEDED, xferv1.State_STATE_CANCELLED, xferv1.State_STATE_PAUSED:
		c.Color = show.Yellow
	}
	return c
}
