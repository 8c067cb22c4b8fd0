package command

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/man"
)

// manCmd is for those who make packages, and hidden from all others.
func (a *app) manCmd() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:     "man --dir DIR",
		Short:   "Write the manual pages",
		Long:    "Write a manual page for each command into a directory, which is made if need be.",
		Example: "  xferctl man --dir /usr/local/share/man/man1",
		Args:    between(0, 0, "only flags"),
		Hidden:  true,
	}
	cmd.RunE = a.do(func(context.Context, []string) error {
		if dir == "" {
			return exit.Usagef("--dir is missing: where to?")
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		_, err := man.Write(dir, cmd.Root())
		return err
	})
	cmd.Flags().StringVar(&dir, "dir", "", "the `directory` (required)")
	return cmd
}
