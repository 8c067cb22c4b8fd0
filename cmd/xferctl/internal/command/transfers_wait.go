package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

func (a *app) transfersWaitCmd() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "wait [flags] TRANSFER...",
		Short: "Wait until transfers are over",
		Long: `Wait until transfers are over, and print the state of each. The exit code is that of
the transfer, as cp's would be; of several, that of the first that did not
succeed. Ending wait, by whatever signal, never cancels a transfer.

` + nameUse,
		Example: "  xferctl transfers wait n1/nightly-17\n  xferctl transfers wait --timeout 10m n1/a n2/b || echo \"$?\"   # 75: not over yet",
		Args:    between(1, noLimit, "at least one TRANSFER"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			if timeout < 0 {
				return exit.Usagef("--timeout %s: write a duration such as 10m", timeout)
			}
			return a.wait(ctx, args, timeout)
		}),
		ValidArgsFunction: a.completeLive,
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after so long, with exit code 75; a `duration` such as 90s or 10m (default none)")
	return cmd
}

func (a *app) wait(ctx context.Context, args []string, timeout time.Duration) error {
	api, err := a.server(ctx)
	if err != nil {
		return err
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, errWaitTimeout)
		defer cancel()
	}
	names := make([]string, len(args))
	for i, arg := range args {
		if names[i], err = a.resolveToLook(ctx, api, arg); err != nil {
			if errors.Is(context.Cause(ctx), errWaitTimeout) {
				err = exit.With(exit.WaitTimeout, fmt.Errorf("%s was not found within %s: not all nodes answer; NODE/ID needs no search", arg, timeout))
			}
			return err
		}
	}
	signals, stop := a.env.Signals()
	defer stop()
	code := exit.OK
	for _, name := range names {
		f := &follower{a: a, api: api, name: name, quiet: true, signals: signals}
		t, err := f.follow(ctx)
		if errors.Is(context.Cause(ctx), errWaitTimeout) && (err != nil || t == nil) {
			return exit.With(exit.WaitTimeout, fmt.Errorf("%s is not over after %s", name, timeout))
		}
		if err != nil {
			return err
		}
		c, err := a.waited(ctx, api, t)
		if err != nil {
			return err
		}
		if code == exit.OK {
			code = c
		}
	}
	return exit.Silent(code)
}

var errWaitTimeout = errors.New("timeout")

// waited prints one transfer that is over and returns its exit code.
func (a *app) waited(ctx context.Context, api API, t *xferv1.Transfer) (int, error) {
	failed, err := failedCodes(ctx, api, t)
	if err != nil {
		a.warn("the list of failures is not complete: " + err.Error())
	}
	if !a.flags.quiet || a.set.Output != "table" {
		switch a.set.Output {
		case "json":
			err = a.write(record.Line(transferRecord(t)))
		case "yaml":
			a.outf("---\n")
			err = a.write(record.YAML(transferRecord(t)))
		default:
			a.outf("%s  %s\n", show.Name(t.GetName()), stateText(t))
			err = nil
		}
		if err != nil {
			return 0, err
		}
	}
	for _, l := range complaints(t) {
		a.complain(l)
	}
	return resultCode(t, failed), nil
}
