package command

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/settings"
)

type globalFlags struct {
	server, ca, cert, key, output string
	quiet, verbose, insecure      bool
}

const rootLong = `xferctl moves large data between the nodes of a cluster, by way of xferd on each.

A place is NODE:/absolute/path, below a directory that the node exports; xferctl
ls NODE: lists those. A path without a node is one of the node behind the unix
socket, and may be relative. Write ./a:b for a name with a colon. NODE:@REGION is a
memory region, NODE:@REGION+OFFSET,LENGTH a range of one; xferctl regions lists those.

Every flag of the connection can also stand in the environment (XFERCTL_SERVER,
XFERCTL_CA, XFERCTL_CERT, XFERCTL_KEY, XFERCTL_INSECURE, XFERCTL_OUTPUT) or in the
file ~/.config/xfer/config.yaml (server, ca, cert, key, insecure, output;
XFERCTL_CONFIG names another file). Flags win over the environment, and that over
the file.

Exit codes:
  0 done                             9 deadline passed
  1 failed                          10 node or daemon unavailable: try again
  2 usage                           11 permission
  3 source or transfer not found    12 would delete more than --max-delete
  4 destination error               13 cancelled by somebody else
  5 partly done                     14 RDMA required but unavailable
  6 source changed or vanished      75 wait --timeout ran out
  7 verification failed             128+n ended by signal n
  8 no space or quota
Of several failures of one transfer the code is the first of 7, 8, 11, 4, 6, 5.`

func (a *app) root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "xferctl",
		Short:         "Move large data between the nodes of a cluster",
		Long:          rootLong,
		Example:       "  xferctl cp n1:/data/set n2:/data/\n  xferctl transfers ls",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          groupArgs,
		RunE:          groupRun,
		Version:       versionText(),
	}
	cmd.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	f := cmd.PersistentFlags()
	f.StringVar(&a.flags.server, "server", "", "`address` of xferd: unix:///path or host:port (default \""+settings.DefaultServer+"\")")
	f.StringVar(&a.flags.ca, "ca", "", "`file` with the certificates (PEM) that a remote server's must be signed by")
	f.StringVar(&a.flags.cert, "cert", "", "`file` with your certificate (PEM), for a remote server")
	f.StringVar(&a.flags.key, "key", "", "`file` with the key (PEM) of --cert")
	f.BoolVar(&a.flags.insecure, "insecure", false, "call a remote server without TLS: everybody on the way can read and change everything")
	f.StringVarP(&a.flags.output, "output", "o", "", "`form` of the answer: table, json or yaml; cp, sync and verify: json gives one event per line (default \"table\")")
	f.BoolVarP(&a.flags.quiet, "quiet", "q", false, "print nothing but errors and what was asked for")
	f.BoolVarP(&a.flags.verbose, "verbose", "v", false, "print more")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.SetFlagErrorFunc(flagError)
	cmd.AddGroup(&cobra.Group{ID: "move", Title: "Move data:"}, &cobra.Group{ID: "look", Title: "Look and steer:"})
	cmd.SetUsageTemplate(strings.ReplaceAll(cmd.UsageTemplate(), "FlagUsages |", "FlagUsagesWrapped 100 |"))
	for _, c := range []*cobra.Command{a.cpCmd(), a.syncCmd(), a.submitCmd()} {
		c.GroupID = "move"
		cmd.AddCommand(c)
	}
	for _, c := range []*cobra.Command{a.transfersCmd(), a.nodesCmd(), a.regionsCmd(), a.lsCmd(), a.statCmd(), a.verifyCmd(), a.explainCmd()} {
		c.GroupID = "look"
		cmd.AddCommand(c)
	}
	cmd.AddCommand(a.versionCmd(), a.manCmd())
	cmd.InitDefaultHelpCmd()
	cmd.InitDefaultCompletionCmd()
	for _, c := range cmd.Commands() {
		switch c.Name() {
		case "completion": // cobra shows help for any word, and calls that success
			c.Args, c.RunE = groupArgs, groupRun
			c.Long += "\nThat for bash needs the package bash-completion, and says \"_get_comp_words_by_ref:\ncommand not found\" without it."
		case "help":
			c.Run, c.RunE = nil, helpRun
		}
	}
	return cmd
}

// helpRun shows the help of the command that the words name.
func helpRun(cmd *cobra.Command, args []string) error {
	c, rest, err := cmd.Root().Find(args)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	if len(rest) > 0 {
		return groupArgs(c, rest)
	}
	c.InitDefaultHelpFlag()
	return c.Help()
}

// groupArgs and groupRun make a command that only holds others refuse words
// that are none of them, and be a usage error without one.
func groupArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	msg := fmt.Sprintf("%q is not a command of %s", args[0], cmd.CommandPath())
	if s := cmd.SuggestionsFor(args[0]); len(s) > 0 {
		msg += "; did you mean " + strings.Join(s, " or ") + "?"
	}
	return exit.Usagef("%s", msg)
}

func groupRun(cmd *cobra.Command, _ []string) error {
	cmd.SetOut(cmd.ErrOrStderr())
	if err := cmd.Help(); err != nil {
		return err
	}
	return exit.Silent(exit.Usage)
}

// noLimit as the highest number of arguments.
const noLimit = -1

// between checks the number of arguments, and says by their names what is
// wanted: "cp takes at least one SOURCE and a DESTINATION, but one
// argument was given".
func between(low, high int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= low && (high == noLimit || len(args) <= high) {
			return nil
		}
		given := fmt.Sprintf("%d arguments were given", len(args))
		switch len(args) {
		case 0:
			given = "none was given"
		case 1:
			given = "one argument was given"
		}
		return exit.Usagef("%s takes %s, but %s", strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" "), names, given)
	}
}
