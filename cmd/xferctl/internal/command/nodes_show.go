package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/place"
	"github.com/xferd/xferd/cmd/xferctl/internal/record"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

func (a *app) nodesShowCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "show NODE",
		Short: "Show what a node tells of itself",
		Long: `Show what a node tells of itself: its exports, how many transfers it has, its RDMA
devices, and file systems of destinations on which a write or a sync failed. Of a
node that does not answer only what the others know is shown, and a line says so.`,
		Example: "  xferctl nodes show n3\n  xferctl nodes show -o json n3",
		Args:    between(1, 1, "one NODE"),
		RunE: a.do(func(ctx context.Context, args []string) error {
			if err := place.CheckNode(args[0]); err != nil {
				return exit.With(exit.Usage, err)
			}
			api, err := a.server(ctx)
			if err != nil {
				return err
			}
			n, err := api.GetNode(ctx, args[0])
			if err != nil {
				return err
			}
			return a.print(func() any { return record.Of(n) }, func() error { return a.showNode(n) })
		}),
		ValidArgsFunction: a.completeNodes,
	}
}

func (a *app) showNode(n *xferv1.Node) error {
	row := nodeRow(n)
	a.outf("%s  %s\n", row[0].Text, row[1].Text)
	pairs := [][2]string{
		{"  address", dashOff(row[3].Text)}, {"  version", dashOff(row[4].Text)}, {"  transports", row[2].Text}, {"  notes", dashOff(row[5].Text)}, {"  labels", dashOff(row[6].Text)},
	}
	if at := n.GetStartTime(); at.GetSeconds() != 0 {
		pairs = append(pairs, [2]string{"  started", show.When(at.AsTime())})
	}
	if at := n.GetLastSeenTime(); at.GetSeconds() != 0 && n.GetState() != xferv1.NodeState_NODE_STATE_ALIVE {
		pairs = append(pairs, [2]string{"  last seen", show.When(at.AsTime())})
	}
	if n.GetOwnReport() {
		pairs = append(pairs, [2]string{"  transfers", fmt.Sprintf("%d running, %d queued", n.GetTransfersRunning(), n.GetTransfersQueued())})
	}
	for _, e := range n.GetExports() {
		mode := "ro"
		if e.GetWritable() {
			mode = "rw"
		}
		pairs = append(pairs, [2]string{"  export", show.Name(string(e.GetPath())) + " (" + mode + ")"})
	}
	for _, d := range n.GetRdmaDevices() {
		pairs = append(pairs, [2]string{"  RDMA device", deviceWord(d)})
	}
	for _, f := range n.GetFailingFileSystems() {
		pairs = append(pairs, [2]string{"  " + diskNote(f), fmt.Sprintf("%s, since %s: %s", show.Name(string(f.GetPath())), show.When(f.GetSinceTime().AsTime()), show.Text(f.GetMessage()))})
	}
	if err := show.Pairs(a.out, pairs); err != nil {
		return err
	}
	if !n.GetOwnReport() {
		a.warn("no answer from " + show.Name(nodeID(n)) + ": this is what other nodes know of it")
	}
	return nil
}

// diskNote is what is wrong with a file system, in two words.
func diskNote(f *xferv1.FailingFileSystem) string {
	if strings.HasPrefix(f.GetMessage(), xferv1.Reason_REASON_STATE_NO_SPACE.Name()) {
		return "state full"
	}
	return "disk fails"
}

// deviceWord says of a device whether it can be used, and why not.
func deviceWord(d *xferv1.RdmaDevice) string {
	if d.GetReason() == "" {
		return show.Name(d.GetName())
	}
	return strings.TrimSuffix(show.Name(d.GetName())+": "+show.Name(d.GetReason())+", "+show.Text(d.GetDetail()), ", ")
}

// dashOff leaves out what a table shows as nothing.
func dashOff(s string) string {
	if s == "-" {
		return ""
	}
	return s
}
