// Command bench compares xferd with its peers and with a raw floor, side by
// side in one run: alternating, medians, as tables with ratios. It is for
// people; nothing is asserted. A peer that is not installed is left out with a
// line.
//
// Run it with `make bench`. The machine decides the absolute figures; the
// ratios are what counts.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/xferd/xferd/api/client"
)

type options struct {
	rounds   int
	only     string
	tmpfs    string
	disk     string
	fileSize int64
	files    int
	entries  int
	bin      string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "floor" {
		if err := floorMain(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "floor:", err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.IntVar(&o.rounds, "rounds", 9, "rounds of each comparison; the median is shown")
	flag.StringVar(&o.only, "only", "file-tmpfs,tree-tmpfs,file-disk,tree-disk,durability,latency,regions,posts", "comparisons, with commas: file-tmpfs, tree-tmpfs, file-disk, tree-disk, durability, latency, regions, posts, million")
	flag.StringVar(&o.tmpfs, "tmpfs", "/dev/shm", "directory on tmpfs")
	flag.StringVar(&o.disk, "disk", os.TempDir(), "directory on a disk")
	size := flag.Int("mib", 2048, "size of the large file in MiB")
	flag.IntVar(&o.files, "files", 15_000, "files of the tree, at least")
	flag.IntVar(&o.entries, "entries", 1_000_000, "entries of the tree of -only million")
	flag.StringVar(&o.bin, "bin", "bin", "directory of xferd and xferctl")
	flag.Parse()
	o.fileSize = int64(*size) << 20
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, o options) error {
	for _, name := range strings.Split(o.only, ",") {
		var err error
		switch name {
		case "file-tmpfs":
			err = compare(ctx, o, "one file, tmpfs to tmpfs", o.tmpfs, false, makeFile)
		case "file-disk":
			err = compare(ctx, o, "one file, disk to disk, each run ends with a sync", o.disk, true, makeFile)
		case "tree-tmpfs":
			err = compare(ctx, o, "tree, tmpfs to tmpfs", o.tmpfs, false, makeTree)
		case "tree-disk":
			err = compare(ctx, o, "tree, disk to disk, each run ends with a sync", o.disk, true, makeTree)
		case "durability":
			err = durability(ctx, o)
		case "latency":
			err = latency(ctx, o)
		case "regions":
			err = regions(ctx, o)
		case "posts":
			err = withEnds(ctx, o, nil, func(_ *cluster, ends [2]*client.Client) error { return preparedPosts(ctx, o, ends) })
		case "million":
			err = million(ctx, o)
		default:
			err = fmt.Errorf("no comparison %q", name)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
