package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

func (a *app) transfersWatchCmd() *cobra.Command {
	var l listFlags
	var all bool
	var cmd *cobra.Command
	cmd = &cobra.Command{
		Use:   "watch [flags] [TRANSFER]",
		Short: "Watch one transfer to its end, or all of them",
		Long: `Watch a transfer to its end, with progress and the summary and exit code of cp.
Without a name, print a line for each transfer that is not over, and then for every
change of any, until it is ended. The flags select transfers. With -o json each
line is one JSON object (of one transfer as with cp), with the field "event":
transfer, owner_lost and owner_returned (a node went away, came back), caught_up
(from here on it is news).
Ending watch never cancels a transfer.

` + nameUse,
		Example: "  xferctl transfers watch n1/nightly-17\n  xferctl transfers watch --node n1 -o json",
		Args:    between(0, 1, "at most one TRANSFER"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			if a.set.Output == "yaml" {
				return exit.Usagef("watch prints a table or json, not yaml")
			}
			if len(args) == 0 {
				return a.watchAll(ctx, &l, all)
			}
			for _, name := range []string{"node", "state", "label", "principal", "all"} {
				if cmd.Flags().Changed(name) {
					return exit.Usagef("--%s selects among all transfers; it means nothing for one that is named", name)
				}
			}
			return a.watchOne(ctx, args[0])
		}),
		ValidArgsFunction: a.completeTransfers,
	}
	l.bind(a, cmd)
	cmd.Flags().BoolVar(&all, "all", false, "begin with all that are remembered, those that are over as well")
	return cmd
}

func (a *app) watchOne(ctx context.Context, arg string) error {
	api, err := a.server(ctx)
	if err != nil {
		return err
	}
	name, err := a.resolveToLook(ctx, api, arg)
	if err != nil {
		return err
	}
	signals, stop := a.env.Signals()
	defer stop()
	f := &follower{a: a, api: api, name: name, progress: true, signals: signals}
	t, err := f.follow(ctx)
	if err != nil {
		return err
	}
	return f.report(ctx, t)
}

// watchAll prints every change. The client goes on over breaks.
func (a *app) watchAll(ctx context.Context, l *listFlags, all bool) error {
	parent, err := l.parent()
	if err != nil {
		return err
	}
	filter, err := l.filter()
	if err != nil {
		return err
	}
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
	lost := func(err error) { a.warn("the watch broke, trying again: " + a.errorText(err)) }
	w := newWatched(all)
	for e, err := range api.Watch(ctx, client.WatchOptions{Parent: parent, Filter: filter, Lost: lost}) {
		if s, ok := errors.AsType[*signalError](context.Cause(ctx)); ok {
			return exit.Silent(signalCode(s.s))
		}
		if err != nil {
			return err
		}
		if err := a.watchEvent(w, e); err != nil {
			return err
		}
		if a.out.failed != nil {
			return a.out.failed
		}
	}
	return nil
}

type signalError struct{ s os.Signal }

func (e *signalError) Error() string { return e.s.String() }

func (a *app) watchEvent(w *watched, e client.Event) error {
	w.note(e)
	if a.set.Output == "json" {
		switch {
		case e.Transfer != nil:
			rec := transferRecord(e.Transfer)
			line, err := record.Line(rec)
			if err != nil {
				return err
			}
			if w.shows(e.Transfer, string(line)) {
				a.event("transfer", record.Field{Name: "transfer", Value: rec})
			}
		case e.Lost != nil:
			a.event("owner_lost", record.Of(e.Lost)...)
		case e.Returned != nil:
			a.event("owner_returned", record.Of(e.Returned)...)
		case e.CaughtUp:
			a.event("caught_up")
		}
		return nil
	}
	switch {
	case e.Transfer != nil:
		if line := watchLine(e.Transfer); w.shows(e.Transfer, line) {
			a.outf("%s  %s\n", show.When(e.Transfer.GetUpdateTime().AsTime()), line)
		}
	case e.Lost != nil:
		a.warn(fmt.Sprintf("no answer from %s, whose transfers are not shown until it returns: %s", e.Lost.GetNode(), e.Lost.GetDetail()))
	case e.Returned != nil:
		a.warn(e.Returned.GetNode() + " answers again")
	}
	return nil
}

// watchLine is what is shown of a transfer, behind the time.
func watchLine(t *xferv1.Transfer) string {
	c := t.GetCounters()
	l := fmt.Sprintf("%s  %s", show.Name(shortName(t.GetName())), stateText(t))
	if c.GetBytesTotal() > 0 {
		of := " of "
		if !c.GetTotalKnown() {
			of = " of >= "
		}
		l += "  " + show.Size(c.GetBytesDone()) + of + show.Size(c.GetBytesTotal())
	}
	if n := c.GetEntriesFailed(); n > 0 {
		l += "  " + show.Count(n) + " failed"
	}
	switch {
	case t.GetError() != nil:
		l += "  " + show.Name(errorText(t.GetError()))
	case t.GetWaitingReason() != "":
		detail, reason := t.GetWaitingDetail(), "("+t.GetWaitingReason()+")"
		if !strings.Contains(detail, reason) {
			detail = strings.TrimSpace(detail + " " + reason)
		}
		l += "  waits: " + show.Name(detail)
	}
	return l
}
