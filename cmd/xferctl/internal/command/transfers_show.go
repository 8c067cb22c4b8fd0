package command

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

func (a *app) transfersShowCmd() *cobra.Command {
	var failures, lost, entries, digests bool
	cmd := &cobra.Command{
		Use:   "show [flags] TRANSFER",
		Short: "Show all that is known of a transfer",
		Long: `Show all that is known of a transfer, or what became of its entries. With -o json
entries are one JSON object per line, with -o yaml one item of a list per line.

` + nameUse,
		Example: "  xferctl transfers show n1/nightly-17\n  xferctl transfers show -o yaml n1/nightly-17\n  xferctl transfers show --failures n1/nightly-17",
		Args:    between(1, 1, "one TRANSFER"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			api, err := a.server(ctx)
			if err != nil {
				return err
			}
			name, err := a.resolveToLook(ctx, api, args[0])
			if err != nil {
				return err
			}
			req := &xferv1.ListEntriesRequest{Parent: name}
			switch {
			case digests && !failures && !lost && !entries:
				return a.showDigests(ctx, api, name)
			case digests:
				return exit.Usagef("--digests goes with none of --entries, --failures and --lost")
			case failures && !lost && !entries:
				req.Outcomes = []xferv1.Outcome{xferv1.Outcome_OUTCOME_FAILED}
			case lost && !failures && !entries:
				req.LostOnly = true
			case entries && !failures && !lost:
			case failures || lost || entries:
				return exit.Usagef("--entries, --failures and --lost contradict each other")
			default:
				return a.showTransfer(ctx, api, name)
			}
			return a.showEntries(ctx, api, req)
		}),
		ValidArgsFunction: a.completeTransfers,
	}
	cmd.Flags().BoolVar(&entries, "entries", false, "show what became of every entry")
	cmd.Flags().BoolVar(&failures, "failures", false, "show the entries that failed, and why")
	cmd.Flags().BoolVar(&lost, "lost", false, "show the entries of which something could not be kept, and what")
	cmd.Flags().BoolVar(&digests, "digests", false, "print the digests that were asked for with --digest, one file a line, relative to the destination, as sha256sum, b3sum and xxhsum do")
	return cmd
}

func (a *app) showTransfer(ctx context.Context, api API, name string) error {
	t, err := a.get(ctx, api, name)
	if err != nil {
		return err
	}
	return a.print(func() any { return transferRecord(t) }, func() error {
		for _, l := range summary(t, true) {
			a.outf("%s\n", l)
		}
		if err := show.Pairs(a.out, transferPairs(t)); err != nil {
			return err
		}
		for _, l := range complaints(t) {
			a.outf("  error:      %s\n", show.Text(l))
		}
		return nil
	})
}

func transferPairs(t *xferv1.Transfer) [][2]string {
	from, to := ends(t)
	var labels []string
	for _, k := range slices.Sorted(maps.Keys(t.GetSpec().GetLabels())) {
		labels = append(labels, show.Name(k+"="+t.GetSpec().GetLabels()[k]))
	}
	waits := ""
	if t.GetWaitingReason() != "" {
		what, why := waitsFor(t)
		waits = show.Name(strings.TrimPrefix(strings.TrimPrefix(what+": "+why, "waiting: "), "waiting "))
		if at := t.GetNextAttemptTime(); at != nil {
			waits += "; next try at " + show.When(at.AsTime())
		}
	}
	pairs := [][2]string{
		{"  from", from}, {"  to", to}, {"  resolved", show.Name(string(t.GetResolvedDestination()))},
		{"  waits", waits}, {"  priority", strings.ToLower(word(t.GetSpec().GetPriority(), "PRIORITY_"))},
		{"  principal", show.Name(t.GetPrincipal())}, {"  labels", strings.Join(labels, ", ")}, {"  retry of", show.Name(t.GetRetryOf())},
		{"  uid", show.Name(t.GetUid())},
	}
	pairs = append(pairs, askedPairs(t.GetSpec())...)
	if t.GetSpec().GetPrepared() {
		pairs = append(pairs, [2]string{"  posts", postsText(t)})
	}
	if d := t.GetDigest(); len(d) > 0 {
		pairs = append(pairs, [2]string{"  digest", fmt.Sprintf("xferd %x (over the digests of the chunks)", d)})
	}
	for _, p := range []struct {
		name string
		at   interface{ GetSeconds() int64 }
		text string
	}{
		{"  submitted", t.GetCreateTime(), show.When(t.GetCreateTime().AsTime())}, {"  started", t.GetStartTime(), show.When(t.GetStartTime().AsTime())},
		{"  ended", t.GetEndTime(), show.When(t.GetEndTime().AsTime())}, {"  deadline", t.GetSpec().GetDeadline(), show.When(t.GetSpec().GetDeadline().AsTime())},
	} {
		if p.at.GetSeconds() != 0 {
			pairs = append(pairs, [2]string{p.name, p.text})
		}
	}
	return pairs
}

// postsText is "12 committed, 1 failed, 3.5 a second, the last at ..." of a prepared
// transfer.
func postsText(t *xferv1.Transfer) string {
	p := t.GetPosts()
	text := fmt.Sprintf("%d committed", p.GetDone())
	if n := p.GetFailed(); n > 0 {
		text += fmt.Sprintf(", %d failed", n)
	}
	if r := p.GetPerSecond(); r > 0 && !client.Over(t) {
		text += fmt.Sprintf(", %.1f a second", r)
	}
	if at := p.GetLastTime(); at != nil {
		text += ", the last at " + show.When(at.AsTime())
	}
	if g := t.GetGeneration(); g > 0 {
		text += fmt.Sprintf(", generation %d", g)
	}
	return text
}

func (a *app) showEntries(ctx context.Context, api API, req *xferv1.ListEntriesRequest) error {
	var spec *xferv1.TransferSpec // for the name of what is the destination itself, and whether it was compared only
	err := eachEntry(ctx, api, req, func(e *xferv1.EntryResult) error {
		if spec == nil {
			t, err := api.Get(ctx, req.GetParent())
			if err != nil {
				return err
			}
			spec = t.GetSpec()
		}
		if a.set.Output != "table" {
			if err := a.entryRecord(e, spec); err != nil {
				return err
			}
		} else {
			a.outf("%s\n", entryLine(e, spec))
		}
		if a.out.failed != nil {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// entryRecord prints an entry for programs.
func (a *app) entryRecord(e *xferv1.EntryResult, spec *xferv1.TransferSpec) error {
	if a.set.Output == "yaml" {
		a.outf("- ") // JSON is YAML as well
	}
	return a.write(record.Line(entryObject(e, spec.GetMode() == xferv1.Mode_MODE_VERIFY)))
}

// entryLine is "FAILED     path: why", or with what was lost.
func entryLine(e *xferv1.EntryResult, spec *xferv1.TransferSpec) string {
	outcome := word(e.GetOutcome(), "OUTCOME_")
	if spec.GetMode() == xferv1.Mode_MODE_VERIFY && differs(e) {
		kind, _ := difference(e)
		outcome = strings.ToUpper(kind)
	}
	l := fmt.Sprintf("%-10s %s", outcome, show.Name(entryPath(e, spec)))
	switch to := show.Name(string(e.GetLinkTarget())); {
	case to == "":
	case e.GetKind() == xferv1.EntryKind_ENTRY_KIND_HARDLINK:
		l += " => " + to
	default:
		l += " -> " + to
	}
	if len(e.GetLost()) > 0 {
		var lost []string
		for _, p := range e.GetLost() {
			lost = append(lost, strings.ToLower(word(p, "PROPERTY_")))
		}
		l += "  lost: " + strings.Join(lost, ",")
	}
	if e.GetError() != nil {
		l += ": " + show.Name(errorText(e.GetError()))
	}
	return l
}
