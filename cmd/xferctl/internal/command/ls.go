package command

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/spf13/cobra"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/place"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

func (a *app) lsCmd() *cobra.Command {
	var names bool
	cmd := &cobra.Command{
		Use:   "ls [flags] NODE:PATH",
		Short: "List a directory of a node",
		Long: `List a directory of a node, by name: permissions, owner, group, size in bytes, time
of modification, name. "NODE:" alone lists the exports that you may use there.`,
		Example: "  xferctl ls n1:\n  xferctl ls n1:/data\n  xferctl ls -1 n1:/data",
		Args:    between(1, 1, "one NODE:PATH"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			return a.list(ctx, args[0], names)
		}),
		ValidArgsFunction: a.completePlaces,
	}
	cmd.Flags().BoolVarP(&names, "names", "1", false, "print names alone, one on each line")
	return cmd
}

func (a *app) list(ctx context.Context, arg string, names bool) error {
	p, err := a.listedPlace(ctx, arg)
	if err != nil {
		return err
	}
	api, err := a.server(ctx)
	if err != nil {
		return err
	}
	files, err := patiently(ctx, a, api, p.Node, func(ctx context.Context) ([]*xferv1.File, error) {
		return collect(api.Files(ctx, p.Node, p.Path))
	})
	if is(err, xferv1.Reason_REASON_SOURCE_NOT_REGULAR) && !p.Slash { // no directory: show itself, as ls does
		var f *xferv1.File
		f, err = api.Stat(ctx, p.Node, p.Path, false)
		files = []*xferv1.File{f}
	}
	if err != nil {
		return err
	}
	return a.printFiles(files, names)
}

// collect returns all that a listing yields.
func collect[T any](seq iter.Seq2[T, error]) ([]T, error) {
	var out []T
	for v, err := range seq {
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// listedPlace reads "NODE:" as well, whose path is empty.
func (a *app) listedPlace(ctx context.Context, arg string) (place.Place, error) {
	if node, ok := strings.CutSuffix(arg, ":"); ok && !strings.ContainsAny(node, "/:") {
		if err := place.CheckNode(node); err != nil {
			return place.Place{}, exit.With(exit.Usage, err)
		}
		return place.Place{Node: node}, nil
	}
	ps, err := a.places(ctx, []string{arg})
	if err != nil {
		return place.Place{}, err
	}
	return ps[0], nil
}

func (a *app) printFiles(files []*xferv1.File, names bool) error {
	return a.print(func() any {
		return record.Object{{Name: "files", Value: record.List(files)}}
	}, func() error {
		t := &show.Table{Header: []string{"MODE", "UID", "GID", "SIZE", "MODIFIED", "NAME"}}
		for _, f := range files {
			if names {
				a.outf("%s\n", show.Name(string(f.GetPath())))
				continue
			}
			name := show.Name(string(f.GetPath()))
			if len(f.GetTarget()) > 0 {
				name += " -> " + show.Name(string(f.GetTarget()))
			}
			t.Rows = append(t.Rows, []show.Cell{
				show.T(modeString(f)), show.N(fmt.Sprint(f.GetUid())), show.N(fmt.Sprint(f.GetGid())),
				show.N(show.Count(f.GetSize())), show.T(show.When(f.GetModifyTime().AsTime())), show.T(name),
			})
		}
		if names || len(files) == 0 {
			return nil
		}
		return a.table(t)
	})
}

// modeString is as in ls -l: "drwxr-sr-t".
func modeString(f *xferv1.File) string {
	m := f.GetMode()
	kind := byte('?')
	switch f.GetKind() {
	case xferv1.EntryKind_ENTRY_KIND_FILE, xferv1.EntryKind_ENTRY_KIND_HARDLINK:
		kind = '-'
	case xferv1.EntryKind_ENTRY_KIND_DIRECTORY:
		kind = 'd'
	case xferv1.EntryKind_ENTRY_KIND_SYMLINK:
		kind = 'l'
	case xferv1.EntryKind_ENTRY_KIND_FIFO:
		kind = 'p'
	case xferv1.EntryKind_ENTRY_KIND_SOCKET:
		kind = 's'
	case xferv1.EntryKind_ENTRY_KIND_CHAR_DEVICE:
		kind = 'c'
	case xferv1.EntryKind_ENTRY_KIND_BLOCK_DEVICE:
		kind = 'b'
	}
	b := []byte{kind}
	for i, letter := range []byte("rwxrwxrwx") {
		if m&(1<<(8-i)) == 0 {
			letter = '-'
		}
		b = append(b, letter)
	}
	for _, s := range []struct {
		bit       uint32
		at        int
		with, bad byte
	}{{0o4000, 3, 's', 'S'}, {0o2000, 6, 's', 'S'}, {0o1000, 9, 't', 'T'}} {
		if m&s.bit == 0 {
			continue
		}
		if b[s.at] == 'x' {
			b[s.at] = s.with
		} else {
			b[s.at] = s.bad
		}
	}
	return string(b)
}
