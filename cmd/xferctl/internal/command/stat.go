package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

func (a *app) statCmd() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use:     "stat [flags] NODE:PATH",
		Short:   "Show what a node knows of one file or directory",
		Long:    "Show what a node knows of one file or directory: kind, size, permissions, owner,\nnames that it has, time of modification.",
		Example: "  xferctl stat n1:/data/set\n  xferctl stat -L n1:/data/link",
		Args:    between(1, 1, "one NODE:PATH"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			ps, err := a.places(ctx, args)
			if err != nil {
				return err
			}
			api, err := a.server(ctx)
			if err != nil {
				return err
			}
			f, err := patiently(ctx, a, api, ps[0].Node, func(ctx context.Context) (*xferv1.File, error) {
				return api.Stat(ctx, ps[0].Node, ps[0].Path, follow)
			})
			if err != nil {
				return err
			}
			return a.print(func() any { return record.Of(f) }, func() error { return show.Pairs(a.out, filePairs(f)) })
		}),
		ValidArgsFunction: a.completePlaces,
	}
	cmd.Flags().BoolVarP(&follow, "copy-links", "L", false, "show what a symbolic link points to, if that is in the same export")
	return cmd
}

func filePairs(f *xferv1.File) [][2]string {
	return [][2]string{
		{"path", show.Name(string(f.GetPath()))},
		{"kind", strings.ToLower(strings.ReplaceAll(word(f.GetKind(), "ENTRY_KIND_"), "_", " "))},
		{"points to", show.Name(string(f.GetTarget()))},
		{"size", fmt.Sprintf("%s (%s bytes), %s allocated", show.Size(f.GetSize()), show.Count(f.GetSize()), show.Size(f.GetAllocated()))},
		{"mode", fmt.Sprintf("%04o %s", f.GetMode(), modeString(f))},
		{"owner", fmt.Sprintf("%d:%d", f.GetUid(), f.GetGid())},
		{"names", fmt.Sprint(f.GetLinks())},
		{"modified", show.When(f.GetModifyTime().AsTime())},
	}
}
