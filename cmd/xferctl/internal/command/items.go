package command

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

// errStop ends a listing whose reader went away; the sink has the cause.
var errStop = errors.New("standard output is closed")

// printItems prints every change of a transfer.
func (f *follower) printItems(ctx context.Context, t *xferv1.Transfer) error {
	err := eachEntry(ctx, f.api, &xferv1.ListEntriesRequest{
		Parent:   f.name,
		Outcomes: []xferv1.Outcome{xferv1.Outcome_OUTCOME_PUBLISHED, xferv1.Outcome_OUTCOME_DELETED},
	}, func(e *xferv1.EntryResult) error {
		if verifies(t) {
			f.printDifference(e, t.GetSpec())
		} else if f.events() {
			f.a.event("entry", entryFields(e)...)
		} else if it := item(e, f.compare, t.GetSpec()); it.Changed() {
			f.a.outf("%s\n", it)
		}
		if f.a.out.failed != nil {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// printSpecials names the special files and links that were left out.
func (f *follower) printSpecials(ctx context.Context, t *xferv1.Transfer) error {
	err := eachEntry(ctx, f.api, &xferv1.ListEntriesRequest{Parent: f.name, Outcomes: []xferv1.Outcome{xferv1.Outcome_OUTCOME_SKIPPED}}, func(e *xferv1.EntryResult) error {
		switch e.GetKind() {
		case xferv1.EntryKind_ENTRY_KIND_FILE, xferv1.EntryKind_ENTRY_KIND_HARDLINK, xferv1.EntryKind_ENTRY_KIND_DIRECTORY, xferv1.EntryKind_ENTRY_KIND_UNSPECIFIED:
			return nil
		}
		f.a.outf("skipped: %s (%s)\n", show.Name(entryPath(e, t.GetSpec())), strings.ToLower(word(e.GetKind(), "ENTRY_KIND_")))
		if f.a.out.failed != nil {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// item is an entry as --itemize shows it. compare is how files were compared:
// by default another time alone has a file sent. spec is what was asked for.
func item(e *xferv1.EntryResult, compare xferv1.Compare, spec *xferv1.TransferSpec) show.Item {
	has := func(c xferv1.Change) bool { return slices.Contains(e.GetChanges(), c) }
	it := show.Item{
		Kind:     kindLetter(e.GetKind()),
		Hardlink: e.GetKind() == xferv1.EntryKind_ENTRY_KIND_HARDLINK,
		Path:     entryPath(e, spec),
		Link:     string(e.GetLinkTarget()),
		Deleted:  e.GetOutcome() == xferv1.Outcome_OUTCOME_DELETED || has(xferv1.Change_CHANGE_DELETE),
		New:      has(xferv1.Change_CHANGE_NEW) || has(xferv1.Change_CHANGE_TYPE),
		Content:  has(xferv1.Change_CHANGE_CONTENT) || has(xferv1.Change_CHANGE_TARGET),
		Size:     has(xferv1.Change_CHANGE_SIZE),
		Time:     has(xferv1.Change_CHANGE_MTIME),
		Perm:     has(xferv1.Change_CHANGE_PERM),
		Owner:    has(xferv1.Change_CHANGE_OWNER),
		Group:    has(xferv1.Change_CHANGE_GROUP),
		ACL:      has(xferv1.Change_CHANGE_ACL),
		Xattr:    has(xferv1.Change_CHANGE_XATTRS),
	}
	bySize := compare == xferv1.Compare_COMPARE_SIZE || compare == xferv1.Compare_COMPARE_CHECKSUM
	it.Moved = e.GetBytes() > 0 || it.Time && !bySize
	return it
}

// entryPath is the path of an entry as it is shown: "./" for a directory that
// is the destination itself, and a name for anything else that is.
func entryPath(e *xferv1.EntryResult, spec *xferv1.TransferSpec) string {
	dest := string(spec.GetDestination().GetPath())
	switch {
	case len(e.GetPath()) > 0:
		return string(e.GetPath())
	case e.GetKind() == xferv1.EntryKind_ENTRY_KIND_DIRECTORY || dest == "":
		return "./"
	}
	return path.Base(dest)
}

func kindLetter(k xferv1.EntryKind) byte {
	switch k {
	case xferv1.EntryKind_ENTRY_KIND_FILE, xferv1.EntryKind_ENTRY_KIND_HARDLINK:
		return 'f'
	case xferv1.EntryKind_ENTRY_KIND_DIRECTORY:
		return 'd'
	case xferv1.EntryKind_ENTRY_KIND_SYMLINK:
		return 'L'
	case xferv1.EntryKind_ENTRY_KIND_CHAR_DEVICE, xferv1.EntryKind_ENTRY_KIND_BLOCK_DEVICE:
		return 'D'
	}
	return 'S'
}

func entryFields(e *xferv1.EntryResult) []record.Field {
	return []record.Field(entryObject(e, false))
}
