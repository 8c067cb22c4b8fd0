package command

import (
	"context"
	"encoding/hex"

	"github.com/spf13/cobra"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/place"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

func (a *app) transfersCancelCmd() *cobra.Command {
	var purge bool
	cmd := &cobra.Command{
		Use:   "cancel [flags] TRANSFER...",
		Short: "Cancel transfers",
		Long: `Cancel transfers. Files that are done stay. Of larger files that are not, what was
moved is kept for 7 days, so that the same copy goes on from there. The answer
comes before the end: wait for that with "xferctl transfers wait", which then
exits with 13.

` + nameUse,
		Example: "  xferctl transfers cancel n1/nightly-17\n  xferctl transfers cancel --purge n1/nightly-17",
		Args:    between(1, noLimit, "at least one TRANSFER"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			return a.steer(ctx, args, func(ctx context.Context, api API, name string) (*xferv1.Transfer, error) {
				return api.Cancel(ctx, name, purge)
			})
		}),
		ValidArgsFunction: a.completeLive,
	}
	cmd.Flags().BoolVar(&purge, "purge", false, "keep nothing of files that are not done; also of a transfer that failed or was cancelled before")
	return cmd
}

func (a *app) transfersPauseCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "pause TRANSFER...",
		Short: "Pause transfers until they are resumed",
		Long: `Pause transfers until they are resumed. They keep their place at the destination,
so that no other transfer can write there meanwhile. The answer comes before the
end: a transfer is PAUSING until what is under way is stored at the target, which
takes as long as state_dir there is full (STATE_NO_SPACE). It can be resumed when it
is PAUSED.

` + nameUse,
		Example: "  xferctl transfers pause n1/nightly-17",
		Args:    between(1, noLimit, "at least one TRANSFER"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			return a.steer(ctx, args, func(ctx context.Context, api API, name string) (*xferv1.Transfer, error) { return api.Pause(ctx, name) })
		}),
		ValidArgsFunction: a.completeLive,
	}
}

func (a *app) transfersResumeCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "resume TRANSFER...",
		Short:   "Let paused transfers go on",
		Long:    "Let paused transfers go on. For one that failed or was cancelled see retry, or run\nthe same command again.\n\n" + nameUse,
		Example: "  xferctl transfers resume n1/nightly-17",
		Args:    between(1, noLimit, "at least one TRANSFER"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			return a.steer(ctx, args, func(ctx context.Context, api API, name string) (*xferv1.Transfer, error) {
				return api.Resume(ctx, name)
			})
		}),
		ValidArgsFunction: a.completeLive,
	}
}

func (a *app) transfersFinishCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "finish TRANSFER...",
		Short: "End prepared transfers well",
		Long: `End prepared transfers, which programs post, well: each succeeds when all that was
posted is answered. A cancel ends them too, in the middle of a post.

` + nameUse,
		Example: "  xferctl transfers finish n1/halo-left",
		Args:    between(1, noLimit, "at least one TRANSFER"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			return a.steer(ctx, args, func(ctx context.Context, api API, name string) (*xferv1.Transfer, error) {
				return api.FinishPosts(ctx, name)
			})
		}),
		ValidArgsFunction: a.completeLive,
	}
}

func (a *app) transfersRetryCmd() *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use:   "retry [flags] TRANSFER",
		Short: "Submit a transfer that is over once more",
		Long: `Submit what a transfer that is over was asked to do once more, as a new transfer
with a name of its own, which is printed. What is there already is not sent again.

` + nameUse,
		Example: "  xferctl transfers wait \"$(xferctl transfers retry n1/nightly-17)\"",
		Args:    between(1, 1, "one TRANSFER"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			if id == "" {
				id = a.env.NewID()
			}
			if err := checkID(id); err != nil {
				return err
			}
			api, err := a.server(ctx)
			if err != nil {
				return err
			}
			name, err := a.resolve(ctx, api, args[0])
			if err != nil {
				return err
			}
			t, err := api.Retry(ctx, name, id)
			if err != nil {
				return err
			}
			if a.set.Output == "table" {
				a.outf("%s\n", show.Name(t.GetName()))
				return nil
			}
			return a.printSteered([]*xferv1.Transfer{t.Transfer})
		}),
		ValidArgsFunction: a.completeTransfers,
	}
	cmd.Flags().StringVar(&id, "id", "", "`id` of the new transfer (default a new one)")
	return cmd
}

func (a *app) transfersAbandonCmd() *cobra.Command {
	var node string
	cmd := &cobra.Command{
		Use:   "abandon --node TARGET TRANSFER",
		Short: "Free a destination whose owner is lost",
		Long: `Make a target let go of a transfer whose owner is lost: no byte can land any more,
then lock and temporary files go. Partial files stay for a later run. Should the owner
come back, the target refuses the transfer, which then ends FAILED, CANCELLED. The target
remembers that for 30 days.
"xferctl transfers ls --incoming --node TARGET" shows what a target holds.
For administrators.

The transfer is named nodes/NODE/transfers/ID, or NODE/ID, or by its uid of 32 hex
digits.`,
		Example: "  xferctl transfers abandon --node n2 n1/nightly-17",
		Args:    between(1, 1, "one TRANSFER"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			if node == "" {
				return exit.Usagef("--node is missing: at which target?")
			}
			if err := place.CheckNode(node); err != nil {
				return exit.With(exit.Usage, err)
			}
			owner, id, named := splitName(args[0])
			if b, err := hex.DecodeString(args[0]); !named && (err != nil || len(b) != 16) {
				return exit.Usagef("%q is neither NODE/ID nor a uid of 32 hex digits", args[0])
			}
			api, err := a.server(ctx)
			if err != nil {
				return err
			}
			if named {
				err = api.Abandon(ctx, node, client.Name(owner, id))
			} else {
				err = api.AbandonUID(ctx, node, args[0])
			}
			if err != nil {
				return err
			}
			return a.print(func() any {
				return record.Object{{Name: "node", Value: node}, {Name: "abandoned", Value: args[0]}}
			}, func() error {
				a.outf("%s let go of %s; should its owner come back, it is refused there\n", node, args[0])
				return nil
			})
		}),
		ValidArgsFunction: a.completeTransfers,
	}
	cmd.Flags().StringVar(&node, "node", "", "id of the target `node` that is to let go (required)")
	_ = cmd.RegisterFlagCompletionFunc("node", a.completeNodes)
	return cmd
}
