package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

// digestWord is "sha256" and the like.
func digestWord(s *xferv1.TransferSpec) string {
	return strings.ToLower(word(s.GetDigest(), "DIGEST_KIND_"))
}

// digestLine is a line as sha256sum, b3sum and xxhsum print and read it: with a
// backslash before a line whose name has one, or a line end.
func digestLine(digest []byte, name string) string {
	mark := ""
	if strings.ContainsAny(name, "\\\n\r") {
		mark = "\\"
		name = strings.NewReplacer("\\", "\\\\", "\n", "\\n", "\r", "\\r").Replace(name)
	}
	return fmt.Sprintf("%s%x  %s", mark, digest, name)
}

// showDigests prints the digests of all files that are at the destination, for the
// checking program of that kind, or with -o json or yaml the entries of those files.
// Where no terminal would obey them, names are printed as they are, since it needs
// them so.
func (a *app) showDigests(ctx context.Context, api API, name string) error {
	t, err := api.Get(ctx, name)
	if err != nil {
		return err
	}
	if t.GetSpec().GetDigest() == 0 {
		return errors.New("the transfer was asked for no digests: give --digest to cp or sync")
	}
	shown := func(name string) string { return name }
	if a.env.Terminal(a.env.Stdout) {
		shown = show.Name
	}
	err = eachEntry(ctx, api, &xferv1.ListEntriesRequest{Parent: name, Outcomes: []xferv1.Outcome{
		xferv1.Outcome_OUTCOME_PUBLISHED, xferv1.Outcome_OUTCOME_SAME}}, func(e *xferv1.EntryResult) error {
		switch {
		case len(e.GetContentDigest()) == 0:
		case a.set.Output != "table":
			if err := a.entryRecord(e, t.GetSpec()); err != nil {
				return err
			}
		default:
			a.outf("%s\n", digestLine(e.GetContentDigest(), shown(entryPath(e, t.GetSpec()))))
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
