package command

import (
	"context"

	"github.com/spf13/cobra"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/place"
)

const cpLong = `Copy files and directories from one node to another, or within one.

What becomes of a name is decided by slashes alone, never by what exists:
  n1:/a/dir   n2:/b/dir    /b/dir becomes the copy
  n1:/a/dir   n2:/b/       /b/dir becomes the copy
  n1:/a/dir/  n2:/b        the contents of /a/dir land in /b
Several sources, all of one node, need a destination with a trailing slash. Where
contents of two have a name in common, directories become one; of anything else
the first is copied, and the second fails.
Directories are always copied with all they hold, and directories that are missing
above the destination are made; -n and -i show them with their whole path. Several
copies may go into one directory at the same time, as long as no two of them have
the same name there.

A memory region is written NODE:@REGION, and a part of one NODE:@REGION+OFFSET,LENGTH:
  n1:@a       n2:@b        the bytes of region a land in b, from its start on
  n1:@a+4KiB,1MiB n2:@b+64 one MiB of a lands 64 bytes into b
  n1:/a/file  n2:@b        the bytes of the file land in b, and have to fit
  n1:@a       n2:/b/file   /b/file becomes a copy of the region, for its owner alone
The region's generation rises when all is there. A transfer that does not end well
leaves the bytes that it was to write torn, and begins anew.

A file that is the same at the destination is not sent again, so running the same
command again goes on where it stopped. A file appears under its name when it is
complete and verified, never before.

Ctrl-C cancels the transfer; once more leaves at once. When xferctl is ended
otherwise, or xferd does not answer for a minute, the transfer goes on and its name
is printed: the same command, or "xferctl transfers watch", follows it again.` + streamsLong

const streamsLong = `

Progress and errors go to standard error, the summary to standard output. With
-o json there is one JSON object per line instead, with the field "event":
submitted, following (the same copy runs already), progress (total_known says
whether the totals are final), waiting and going_on (for the target, say),
unreachable and reachable (the server went away, came back), entry (with -n or
--itemize), failure, end, error.`

func (a *app) cpCmd() *cobra.Command {
	var r copyRun
	cmd := &cobra.Command{
		Use:   "cp [flags] SOURCE... DESTINATION",
		Short: "Copy files and directories",
		Long:  cpLong,
		Example: `  xferctl cp n1:/data/set n2:/data/             # a directory, into /data of n2
  xferctl cp -a n1:/images/vm.img n2:/images/vm.img --verify store
  xferctl cp ./model n2:/models/                # from this node
  xferctl cp n1:/models/weights n2:@weights     # into a memory region
  xferctl cp -n n1:/data/set/ n2:/data/set      # what would be done?
  xferctl cp n1:/data/ n2:/data --exclude '*.tmp' --bwlimit 500MB --detach
  find . -newer mark -print0 | xferctl cp --files-from - -0 . n2:/data/new/`,
		Args: between(2, noLimit, "at least one SOURCE and a DESTINATION"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			return a.copy(ctx, &r, xferv1.Mode_MODE_COPY, args, func(p []place.Place) (place.Mapping, error) {
				return place.Copy(p[:len(p)-1], p[len(p)-1])
			})
		}),
		ValidArgsFunction: a.completePlaces,
	}
	r.bind(cmd, false)
	return cmd
}

// copyRun is the command line of a cp or sync.
type copyRun struct {
	specFlags
	id                        string
	detach, itemize, progress bool
}

func (r *copyRun) bind(cmd *cobra.Command, sync bool) {
	r.specFlags.bind(cmd, sync)
	f := cmd.Flags()
	f.BoolVarP(&r.itemize, "itemize", "i", false, "print every change, in rsync's form: \">f.st...... name\"")
	f.BoolVarP(&r.progress, "progress", "P", false, "show progress; elsewhere than on a terminal a line every 10 s (default on a terminal)")
	f.StringVar(&r.id, "id", "", "`id` of the transfer, chosen by you: the same command with the same id is the same transfer, also when that failed; rate, priority, deadline and labels do not count (default a new one)")
	f.BoolVar(&r.detach, "detach", false, "print the transfer's name and leave it running")
	f.BoolP("recursive", "r", false, "accepted, and always on: a directory is copied with all it holds")
}

// copy submits a transfer and follows it to its end.
func (a *app) copy(ctx context.Context, r *copyRun, mode xferv1.Mode, args []string, toMapping func([]place.Place) (place.Mapping, error)) error {
	if a.set.Output == "yaml" {
		return exit.Usagef("cp, sync and verify print a table or json, not yaml")
	}
	if err := r.check(); err != nil {
		return err
	}
	a.typed = args
	id := r.id
	if id == "" {
		id = a.env.NewID()
	}
	if err := checkID(id); err != nil {
		return err
	}
	// The mapping is checked before a server is asked for the name of its node.
	parse := parser(place.Parse)
	if mode == xferv1.Mode_MODE_COPY {
		parse = place.ParseAny
	}
	if err := a.checkMapping(args, parse, toMapping); err != nil {
		return err
	}
	places, err := a.placesBy(ctx, parse, args)
	if err != nil {
		return err
	}
	m, err := toMapping(places)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	spec, err := r.spec(m, mode, a.env.Stdin, timeNow())
	if err == errNothing {
		a.warn(err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	api, err := a.server(ctx)
	if err != nil {
		return err
	}
	f := &follower{
		a: a, api: api, mapping: &m, named: r.id != "", detach: r.detach, dryRun: r.dryRun, cancels: true,
		itemize: r.itemize || r.dryRun || mode == xferv1.Mode_MODE_VERIFY, compare: spec.GetCompare(),
		progress: r.progress || !r.cmd.Flags().Changed("progress") && a.env.Terminal(a.env.Stderr),
	}
	return f.submitAndFollow(ctx, &xferv1.SubmitTransferRequest{TransferId: id, Spec: spec})
}

// checkMapping refuses what no answer of a server could make right. Which node
// a path without one is of is not known here: it may be that of the others.
func (a *app) checkMapping(args []string, parse parser, toMapping func([]place.Place) (place.Mapping, error)) error {
	places := make([]place.Place, len(args))
	other := ""
	for i, arg := range args {
		p, err := parse(arg, a.env.WorkDir)
		if err != nil {
			return exit.With(exit.Usage, err)
		}
		places[i] = p
		if other == "" && i < len(args)-1 {
			other = p.Node
		}
	}
	for i := range places[:len(places)-1] {
		if places[i].Node == "" {
			places[i].Node = other
		}
	}
	_, err := toMapping(places)
	return exit.With(exit.Usage, err)
}
