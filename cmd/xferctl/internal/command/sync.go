package command

import (
	"context"

	"github.com/spf13/cobra"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/place"
)

const syncLong = `Make one directory the mirror of another. Both must be typed with a trailing
slash: the contents of the one become the contents of the other.

Without --delete, what only the destination has stays. With it such entries are
deleted at the very end, only if the source could be listed without an error, and
only if they are no more than --max-delete allows (else exit 12, and nothing is
deleted). Names that a filter leaves out are never deleted. Nor is what is mounted
there; without a filter for it the sync ends with 5. Look first: -n.

Everything else is as in cp; see there.` + streamsLong

func (a *app) syncCmd() *cobra.Command {
	var r copyRun
	cmd := &cobra.Command{
		Use:   "sync [flags] SOURCE/ DESTINATION/",
		Short: "Make a directory the mirror of another",
		Long:  syncLong,
		Example: `  xferctl sync n1:/data/set/ n2:/data/set/
  xferctl sync -n --delete n1:/data/set/ n2:/data/set/   # what would be deleted?
  xferctl sync -a --delete --max-delete 5000 n1:/home/ n2:/backup/home/`,
		Args: between(2, 2, "SOURCE/ and DESTINATION/"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			return a.copy(ctx, &r, xferv1.Mode_MODE_SYNC, args, func(p []place.Place) (place.Mapping, error) {
				return place.Sync(p[0], p[1])
			})
		}),
		ValidArgsFunction: a.completePlaces,
	}
	r.bind(cmd, true)
	return cmd
}
