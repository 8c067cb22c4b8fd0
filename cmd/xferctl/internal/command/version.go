package command

import (
	"context"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/xferd/xferd/cmd/internal/version"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
)

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of xferctl",
		Long:    "Print the version of xferctl. Those of the daemons are in: xferctl nodes",
		Example: "  xferctl version",
		Args:    between(0, 0, "no arguments"),
		RunE: a.do(func(context.Context, []string) error {
			return a.print(func() any {
				return record.Object{{Name: "version", Value: version.String()}, {Name: "go", Value: runtime.Version()}, {Name: "platform", Value: platform()}}
			}, func() error {
				a.outf("xferctl %s\n", versionText())
				return nil
			})
		}),
	}
}

func platform() string { return runtime.GOOS + "/" + runtime.GOARCH }

func versionText() string {
	return fmt.Sprintf("%s (%s, %s)", version.String(), runtime.Version(), platform())
}
