package command

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/flagval"
	"github.com/xferd/xferd/cmd/xferctl/internal/place"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

// listFlags select transfers.
type listFlags struct {
	node, principal string
	states          []string
	labels          flagval.Labels
	active          bool
	since           string
	limit           int
	incoming        bool
}

func (l *listFlags) bind(a *app, cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&l.node, "node", "", "only those that this `node` owns (default all nodes)")
	f.StringSliceVar(&l.states, "state", nil, "only those in one of these `states`: "+strings.ToLower(strings.Join(stateWords(), ", ")))
	f.Var(&l.labels, "label", "only those with this `key=value`; may be given again")
	f.StringVar(&l.principal, "principal", "", "only those that this `principal` submitted")
	_ = cmd.RegisterFlagCompletionFunc("node", a.completeNodes)
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(stateWords(), cobra.ShellCompDirectiveNoFileComp))
}

func stateWords() []string {
	var out []string
	for s := xferv1.State_STATE_QUEUED; s <= xferv1.State_STATE_CANCELLED; s++ {
		out = append(out, stateWord(s))
	}
	return out
}

func (l *listFlags) parent() (string, error) {
	if l.node == "" || l.node == "-" {
		return client.AllNodes, nil
	}
	return client.NodeName(l.node), exit.With(exit.Usage, place.CheckNode(l.node))
}

func (l *listFlags) filter() (*xferv1.TransferFilter, error) {
	out := &xferv1.TransferFilter{Labels: l.labels.Map, Principal: l.principal}
	for _, w := range l.states {
		n, ok := xferv1.State_value["STATE_"+strings.ToUpper(w)]
		if !ok || n == 0 {
			return nil, exit.Usagef("--state %s: write one of %s", w, strings.ToLower(strings.Join(stateWords(), ", ")))
		}
		out.States = append(out.States, xferv1.State(n))
	}
	if l.active {
		if len(out.States) > 0 {
			return nil, exit.Usagef("--active and --state contradict each other")
		}
		for s := xferv1.State_STATE_QUEUED; s < xferv1.State_STATE_SUCCEEDED; s++ {
			out.States = append(out.States, s)
		}
	}
	return out, nil
}

func (a *app) transfersLsCmd() *cobra.Command {
	var l listFlags
	cmd := &cobra.Command{
		Use:   "ls [flags]",
		Short: "List transfers",
		Long: `List transfers of all nodes, by node and time of submission. They are remembered
for 30 days. Where a node did not answer, its transfers are missing: then there is
a warning and exit code 5.

One that runs and cannot go on has the reason behind its state: "RUNNING (waits:
PEER_UNREACHABLE)". With --incoming, ORPHANED is one whose owner is not heard of: it
holds its destination until the owner returns, times.orphan_ttl of the target is over,
or it is abandoned.`,
		Example: "  xferctl transfers ls --active\n  xferctl transfers ls --node n1 --state failed,partially_succeeded\n  xferctl transfers ls --label job=nightly -o json",
		Args:    between(0, 0, "only flags"),
		RunE:    a.do(func(ctx context.Context, _ []string) error { return a.listTransfers(ctx, &l) }),
	}
	l.bind(a, cmd)
	cmd.Flags().BoolVar(&l.active, "active", false, "only those that are not over")
	cmd.Flags().StringVar(&l.since, "since", "", "only those that were submitted since a `time`: a duration before now (2h) or RFC 3339")
	cmd.Flags().IntVar(&l.limit, "limit", 0, "only the newest `n` (default all)")
	cmd.Flags().BoolVar(&l.incoming, "incoming", false, "those that hold a destination now, as their targets know them; with --node: as that node does")
	return cmd
}

func (a *app) listTransfers(ctx context.Context, l *listFlags) error {
	parent, err := l.parent()
	if err != nil {
		return err
	}
	filter, err := l.filter()
	if err != nil {
		return err
	}
	since, err := l.from(time.Now())
	if err != nil {
		return err
	}
	api, err := a.server(ctx)
	if err != nil {
		return err
	}
	list, err := a.listOf(ctx, api, l.node, &xferv1.ListTransfersRequest{Parent: parent, Filter: filter, Incoming: l.incoming, PageSize: 1000})
	if err != nil {
		return err
	}
	unreachable := slices.Compact(slices.Sorted(slices.Values(list.Unreachable)))
	if err := a.printTransfers(newest(list.Transfers, since, l.limit), unreachable); err != nil {
		return err
	}
	if len(unreachable) > 0 {
		return exit.With(exit.Partial, fmt.Errorf("the list is not complete: no answer from %s", show.Name(strings.Join(unreachable, ", "))))
	}
	return nil
}

// from is the time that --since names; zero without.
func (l *listFlags) from(now time.Time) (time.Time, error) {
	if l.limit < 0 {
		return time.Time{}, exit.Usagef("--limit %d: write a number of transfers", l.limit)
	}
	if l.since == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(l.since); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	at, err := time.Parse(time.RFC3339, l.since)
	if err != nil {
		return at, exit.Usagef("--since %s: write a duration such as 2h, or a time such as 2026-01-31T12:00:00Z", l.since)
	}
	return at, nil
}

// newest leaves those that were submitted since a time, at most n of them unless
// that is 0, in the order in which they came.
func newest(ts []*xferv1.Transfer, since time.Time, n int) []*xferv1.Transfer {
	out := slices.DeleteFunc(slices.Clone(ts), func(t *xferv1.Transfer) bool { return t.GetCreateTime().AsTime().Before(since) })
	if n == 0 || len(out) <= n {
		return out
	}
	// Of several at one time, the last of the list counts as the newest.
	last := slices.Clone(out)
	slices.Reverse(last)
	slices.SortStableFunc(last, func(a, b *xferv1.Transfer) int {
		return b.GetCreateTime().AsTime().Compare(a.GetCreateTime().AsTime())
	})
	keep := map[*xferv1.Transfer]bool{}
	for _, t := range last[:n] {
		keep[t] = true
	}
	return slices.DeleteFunc(out, func(t *xferv1.Transfer) bool { return !keep[t] })
}

func (a *app) printTransfers(ts []*xferv1.Transfer, unreachable []string) error {
	return a.print(func() any {
		return record.Object{{Name: "transfers", Value: transferRecords(ts)}, {Name: "unreachable", Value: append([]string{}, unreachable...)}}
	}, func() error {
		t := &show.Table{Header: []string{"TRANSFER", "STATE", "DONE", "BYTES", "SUBMITTED", "FROM", "TO"}}
		for _, x := range ts {
			t.Rows = append(t.Rows, transferRow(x))
		}
		return a.table(t)
	})
}

func transferRow(t *xferv1.Transfer) []show.Cell {
	c := t.GetCounters()
	done, total := "-", "-"
	if c.GetBytesTotal() > 0 || c.GetTotalKnown() {
		total = show.Size(c.GetBytesTotal())
		if !c.GetTotalKnown() {
			total = ">= " + total
		} else if c.GetBytesTotal() > 0 {
			done = fmt.Sprintf("%d%%", min(int64(float64(c.GetBytesDone())/float64(c.GetBytesTotal())*100), 100))
		}
	}
	from, to := ends(t)
	return []show.Cell{
		show.T(show.Name(shortName(t.GetName()))), stateCell(t), show.N(done), show.N(total),
		show.T(show.When(t.GetCreateTime().AsTime())), show.T(from), show.T(to),
	}
}

// ends are the source and the destination in one word each.
func ends(t *xferv1.Transfer) (from, to string) {
	m := placesOf(t.GetSpec())
	from = "-"
	if len(m.Sources) > 0 {
		from = shownPlace(m.Sources[0])
		if n := max(int(t.GetSourceCount()), len(m.Sources)); n > 1 {
			from += fmt.Sprintf(" and %d more", n-1)
		}
	}
	m.Dest.Slash = m.Into
	return from, shownPlace(m.Dest)
}
