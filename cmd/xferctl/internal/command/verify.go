package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/place"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

const verifyLong = `Say whether the destination has what the source has, and nothing else. Both nodes
read their files and compare digests; no contents cross the network, and nothing
changes. The destination may be in a read-only export, and may be in use: what is
told is what was there when it was looked at.

SOURCE and DESTINATION are read as by cp: after "xferctl cp SOURCE DESTINATION" the
same two words verify the copy. Compared are the names, the types, the contents of
files and what symbolic links point to, and with -a or --preserve more. FIFOs,
sockets and devices are not, unless --preserve names them.

Each difference is a line on standard output:
  missing: dir/name                     the destination does not have it
  extra: dir/name                       the source does not have it
  differs: dir/name (content, size ...) both have it, and it is not the same

The exit code is 0 where there is no difference, 7 where there is one, and another
one where it could not be found out: see "xferctl help".

With -o json there is one JSON object per line: submitted, entry (of each
difference, with "difference" and "changes"), failure, end (with "exit_code"). What a
copy counts as copied, made and deleted is files_different, dirs_different,
links_different and extra there.

Unless hard links are compared (-a, --preserve=hardlinks), each name of a file counts as
a file of its own; cp, which keeps them, counts names beyond the first as links.`

func (a *app) verifyCmd() *cobra.Command {
	var r copyRun
	cmd := &cobra.Command{
		Use:   "verify [flags] SOURCE DESTINATION",
		Short: "Compare two trees by content, and move nothing",
		Long:  verifyLong,
		Example: `  xferctl verify n1:/data/set n2:/data/           # after: xferctl cp n1:/data/set n2:/data/
  xferctl verify -a n1:/home/ n2:/backup/home/    # owner, modes, times, attributes as well
  xferctl verify -q n1:/images/vm.img n2:/images/vm.img && echo the same`,
		Args: between(2, 2, "SOURCE and DESTINATION"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			return a.copy(ctx, &r, xferv1.Mode_MODE_VERIFY, args, func(p []place.Place) (place.Mapping, error) {
				return place.Copy(p[:1], p[1])
			})
		}),
		ValidArgsFunction: a.completePlaces,
	}
	r.bindVerify(cmd)
	return cmd
}

// bindVerify binds what of a copy's flags means something where nothing is copied.
func (r *copyRun) bindVerify(cmd *cobra.Command) {
	r.cmd = cmd
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVarP(&r.archive, "archive", "a", false, "compare permissions, times, hard links, owner, group, extended attributes and ACLs as well")
	f.Var(&r.preserve, "preserve", "what to compare besides contents, a comma `list` as of cp (default links)")
	f.BoolVarP(&r.follow, "copy-links", "L", false, "the source's symbolic links stand for what they point to")
	f.BoolVarP(&r.oneFS, "one-file-system", "x", false, "do not enter other file systems at the source")
	r.bindNames(cmd)
	f.Var(&r.deadline, "deadline", "`time` until which it must be done, or it fails: 90m from now, or 2026-03-01T18:00:00Z (default none)")
	f.BoolVarP(&r.progress, "progress", "P", false, "show progress; elsewhere than on a terminal a line every 10 s (default on a terminal)")
	f.StringVar(&r.id, "id", "", "`id` of the verification among the transfers, chosen by you (default a new one)")
}

// verifies says whether a transfer only compares.
func verifies(t *xferv1.Transfer) bool { return t.GetSpec().GetMode() == xferv1.Mode_MODE_VERIFY }

// difference is in what an entry differs: "missing", "extra" or "differs", and then
// the words for what.
func difference(e *xferv1.EntryResult) (kind string, what []string) {
	if e.GetOutcome() == xferv1.Outcome_OUTCOME_DELETED {
		return "extra", nil
	}
	for _, c := range e.GetChanges() {
		if c == xferv1.Change_CHANGE_NEW {
			return "missing", nil
		}
		what = append(what, strings.ToLower(word(c, "CHANGE_")))
	}
	return "differs", what
}

func (f *follower) printDifference(e *xferv1.EntryResult, spec *xferv1.TransferSpec) {
	kind, what := difference(e)
	if f.events() {
		f.a.event("entry", entryObject(e, true)...)
		return
	}
	name := entryPath(e, spec)
	if e.GetKind() == xferv1.EntryKind_ENTRY_KIND_DIRECTORY && !strings.HasSuffix(name, "/") {
		name += "/"
	}
	line := kind + ": " + show.Name(name)
	if len(what) > 0 {
		line += " (" + strings.Join(what, ", ") + ")"
	}
	f.a.outf("%s\n", line)
}

// verifySummary is the lines at the end of a verification.
func verifySummary(t *xferv1.Transfer) []string {
	c := t.GetCounters()
	files := []string{show.Plural(c.GetFilesSame(), "file", "files") + " the same", show.Count(c.GetFilesCopied()) + " missing or different"}
	if n := c.GetFilesFailed(); n > 0 {
		files = append(files, show.Count(n)+" failed")
	}
	out := []string{stateText(t) + " " + show.Name(t.GetName()), "  files:      " + strings.Join(files, ", ")}
	var others []string
	for _, n := range []struct {
		n         int64
		one, many string
	}{
		{c.GetDirsMade(), "directory missing or of another type", "directories missing or of another type"},
		{c.GetLinksMade(), "link missing or different", "links missing or different"},
		{c.GetDeleted(), "entry only at the destination", "entries only at the destination"},
		{c.GetSpecialsSkipped(), "special file or link not compared", "special files or links not compared"},
		{c.GetEntriesFailed() - c.GetFilesFailed(), "other entry failed", "other entries failed"},
	} {
		if n.n > 0 {
			others = append(others, show.Plural(n.n, n.one, n.many))
		}
	}
	if len(others) > 0 {
		out = append(out, "  others:     "+strings.Join(others, ", "))
	}
	return append(out, fmt.Sprintf("  bytes:      %s in all files, in %s", show.Size(c.GetBytesTotal()), show.Elapsed(elapsed(t))))
}
