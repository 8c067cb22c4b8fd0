package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// million copies a tree of very many empty files and tells how much memory the
// daemons needed. It takes minutes and many inodes.
func million(ctx context.Context, o options) error {
	root, err := os.MkdirTemp(o.tmpfs, "xferd-bench.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	tree := filepath.Join(root, "tree")
	const perDir = 1000
	fmt.Fprintf(os.Stderr, "making %d entries\n", o.entries)
	for i := range o.entries {
		dir := filepath.Join(tree, strconv.Itoa(i/perDir))
		if i%perDir == 0 {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			continue // the directory is an entry too
		}
		f, err := os.Create(filepath.Join(dir, strconv.Itoa(i)))
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	cl, err := startCluster(ctx, o, root)
	if err != nil {
		return err
	}
	defer cl.stop()
	fmt.Printf("\n## a tree of %d entries, tmpfs to tmpfs\n\n", o.entries)
	for _, what := range []string{"first copy", "again, nothing to do"} {
		u, err := measure(cl.daemons, "", func(u *usage) error {
			return u.run(cl.ctl(ctx, u, "cp", "-q", "n1:"+tree, "n2:"+filepath.Join(root, "copy")))
		})
		if err != nil {
			return err
		}
		fmt.Printf("%-22s %v, %.0f entries/s, CPU %v, peak RSS of the larger daemon so far %d MiB\n", what,
			u.wall.Round(10*time.Millisecond), float64(o.entries)/u.wall.Seconds(), u.cpu.Round(10*time.Millisecond), u.rss>>20)
	}
	return nil
}
