package command

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

func (a *app) transfersWatchCmd() *cobra.Command {
	var l listFlags
	cmd := &cobra.Command{
		Use:   "watch [flags] [TRANSFER]",
		Short: "Watch one transfer to its end, or all of them",
		Long: `Watch a transfer to its end, with progress and the summary and exit code of cp.
Without a name, print a line for every change of any transfer that the flags
select, until it is ended. With -o json each is one JSON object per line.
Ending watch never cancels a transfer.

` + nameUse,
		Example: "  xferctl transfers watch n1/nightly-17\n  xferctl transfers watch --active -o json",
		Args:    between(0, 1, "at most one TRANSFER"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			if a.set.Output == "yaml" {
				return exit.Usagef("watch prints a table or json, not yaml")
			}
			if len(args) == 1 {
				return a.watchOne(ctx, args[0])
			}
			return a.watchAll(ctx, &l)
		}),
		ValidArgsFunction: a.completeTransfers,
	}
	l.bind(a, cmd)
	return cmd
}

func (a *app) watchOne(ctx context.Context, arg string) error {
	api, err := a.server(ctx)
	if err != nil {
		return err
	}
	name, err := a.resolve(ctx, api, arg)
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
func (a *app) watchAll(ctx context.Context, l *listFlags) error {
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
	for e, err := range api.Watch(ctx, client.WatchOptions{Parent: parent, Filter: filter, Lost: lost}) {
		if s, ok := errors.AsType[*signalError](context.Cause(ctx)); ok {
			return exit.Silent(signalCode(s.s))
		}
		if err != nil {
			return err
		}
		a.watched(e)
		if a.out.failed != nil {
			return a.out.failed
		}
	}
	return nil
}

type signalError struct{ s os.Signal }

func (e *signalError) Error() string { return e.s.String() }

func (a *app) watched(e client.Event) {
	if a.set.Output == "json" {
		switch {
		case e.Transfer != nil:
			a.event("transfer", record.Field{Name: "transfer", Value: record.Of(e.Transfer)})
		case e.Lost != nil:
			a.event("owner_lost", record.Of(e.Lost)...)
		case e.Returned != nil:
			a.event("owner_returned", record.Of(e.Returned)...)
		case e.CaughtUp:
			a.event("caught_up")
		}
		return
	}
	switch {
	case e.Transfer != nil:
		a.outf("%s\n", watchLine(e.Transfer))
	case e.Lost != nil:
		a.warn(fmt.Sprintf("no answer from %s, whose transfers are not shown until it returns: %s", e.Lost.GetNode(), e.Lost.GetDetail()))
	case e.Returned != nil:
		a.warn(e.Returned.GetNode() + " answers again")
	}
}

func watchLine(t *xferv1.Transfer) string {
	c := t.GetCounters()
	l := fmt.Sprintf("%s  %s  %s", show.When(t.GetUpdateTime().AsTime()), show.Name(shortName(t.GetName())), stateText(t))
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
		l += "  waits: " + show.Name(t.GetWaitingDetail()+" ("+t.GetWaitingReason()+")")
	}
	return l
}
