// Command paramserver trains weights on one node and pushes each version of them to
// workers on other nodes. The weights go out of a memory region into memory regions:
// over RDMA no byte of them is copied on the way. Workers learn of a version from the
// notice page of their region, without a call.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/xferd/xferd/api/client"
)

// options of both roles.
type options struct {
	server, node, id string
	ttl, patience    time.Duration

	workers  []string // nodes; of the server
	mib      int64
	versions int

	from string // of a worker: the server's node
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		if ctx.Err() != nil {
			err = context.Cause(ctx) // all else is what came of it
		}
		fmt.Fprintln(os.Stderr, "paramserver:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	role := ""
	if len(args) > 0 {
		role = args[0]
	}
	var o options
	f := flag.NewFlagSet("paramserver "+role, flag.ContinueOnError)
	f.StringVar(&o.server, "server", client.DefaultServer, "socket of this node's xferd")
	f.StringVar(&o.node, "node", "", "name of this node")
	f.StringVar(&o.id, "id", "weights", "what the regions are called; the same for all")
	f.DurationVar(&o.ttl, "ttl", 15*time.Second, "how long after the death of a program the others learn of it; a restart of xferd may take as long")
	f.DurationVar(&o.patience, "patience", time.Minute, "how long to wait for the others to start, and for nodes that do not answer")
	var play func(context.Context, *client.Client, options) error
	switch role {
	case "serve":
		play = serve
		f.Func("workers", "nodes of the workers: n2,n3", func(s string) error { o.workers = strings.Split(s, ","); return nil })
		f.Int64Var(&o.mib, "mib", 1024, "MiB of weights")
		f.IntVar(&o.versions, "versions", 5, "versions to push")
	case "work":
		play = work
		f.StringVar(&o.from, "from", "", "node of the server")
	default:
		return errors.New("which role? paramserver serve or paramserver work; -h behind it tells more")
	}
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	if o.node == "" || o.from == "" && len(o.workers) == 0 {
		return errors.New("which nodes? -h tells the flags")
	}
	c, err := client.Dial(o.server, client.Options{Patience: o.patience})
	if err != nil {
		return err
	}
	defer c.Close()
	return play(ctx, c, o)
}
