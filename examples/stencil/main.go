// Command stencil lets two processes on two nodes compute how heat spreads in a plate,
// each one half of it. After every step each sends the other the row at the border,
// out of a memory region into a memory region, and waits for the one that it needs
// itself at a page of memory, without a call. In the end the answer has to be that of
// one process, bit for bit.
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

// options are the same for both processes, but for server and rank.
type options struct {
	server, id    string
	nodes         []string // of rank 0 and of rank 1
	rank          int
	rows, cols    int
	steps         int
	ttl, patience time.Duration
}

func (o options) here() string  { return o.nodes[o.rank] }
func (o options) there() string { return o.nodes[1-o.rank] }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		if ctx.Err() != nil {
			err = context.Cause(ctx) // all else is what came of it
		}
		fmt.Fprintln(os.Stderr, "stencil:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var o options
	f := flag.NewFlagSet("stencil", flag.ContinueOnError)
	f.StringVar(&o.server, "server", client.DefaultServer, "socket of this node's xferd")
	f.IntVar(&o.rank, "rank", -1, "0 for the upper half, 1 for the lower one")
	f.Func("nodes", "nodes of rank 0 and rank 1: n1,n2", func(s string) error { o.nodes = strings.Split(s, ","); return nil })
	f.StringVar(&o.id, "id", "heat", "what the regions are called; the same for both")
	f.IntVar(&o.rows, "rows", 1026, "rows of the plate, with its border")
	f.IntVar(&o.cols, "cols", 1026, "columns of the plate, with its border")
	f.IntVar(&o.steps, "steps", 200, "steps")
	f.DurationVar(&o.ttl, "ttl", 15*time.Second, "how long after the death of a program the other learns of it; a restart of xferd may take as long")
	f.DurationVar(&o.patience, "patience", time.Minute, "how long to wait for the other to start, and for nodes that do not answer")
	if err := f.Parse(args); err != nil {
		return err
	}
	if len(o.nodes) != 2 || o.rank < 0 || o.rank > 1 {
		return errors.New("which two nodes, and which rank is this? -h tells the flags")
	}
	if o.rows < 4 || o.cols < 3 || o.steps < 1 {
		return errors.New("a plate has at least 4 rows and 3 columns, and there is one step at least")
	}
	c, err := client.Dial(o.server, client.Options{Patience: o.patience})
	if err != nil {
		return err
	}
	defer c.Close()
	return solve(ctx, c, o)
}
