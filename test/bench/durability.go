package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// mostForSyncs is how many times as long a durable copy may take as one that is
// not: what there is to sync is synced in groups.
const mostForSyncs = 2.5

// durability compares copies of the tree that are durable with such that are not,
// on a disk, in turn.
func durability(ctx context.Context, o options) error {
	root, err := os.MkdirTemp(o.disk, "xferd-bench.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	src := filepath.Join(root, "src")
	if err := os.Mkdir(src, 0o755); err != nil {
		return err
	}
	w, err := makeTree(ctx, o, src)
	if err != nil {
		return err
	}
	cl, err := startCluster(ctx, o, root)
	if err != nil {
		return err
	}
	defer cl.stop()
	levels := []string{"none", "full"}
	times := map[string][]time.Duration{}
	for round := range o.rounds + 1 { // the first one warms up
		for _, level := range levels {
			c := contender{name: level, daemons: cl.daemons, copy: func(ctx context.Context, u *usage, w workload, dst string) error {
				return u.run(cl.ctl(ctx, u, "cp", "-q", "--durability", level, "n1:"+w.path, "n2:"+dst+"/"))
			}}
			u, err := once(ctx, c, w, root, false, "")
			if err != nil {
				return fmt.Errorf("durability %s: %w", level, err)
			}
			// What this one left to write is not the next one's to wait for.
			if err := syncFS(root); err != nil {
				return err
			}
			if round > 0 {
				times[level] = append(times[level], u.wall)
			}
		}
		fmt.Fprintf(os.Stderr, "\rdurability: round %d of %d ", round, o.rounds)
	}
	fmt.Fprintln(os.Stderr)
	fmt.Printf("\n## durability: %d files, %d MiB, disk to disk, median of %d\n\n", w.files, w.bytes>>20, o.rounds)
	for _, level := range levels {
		t := times[level]
		fmt.Printf("%-5s %.3f s (%.3f to %.3f)\n", level, median(t).Seconds(), slices.Min(t).Seconds(), slices.Max(t).Seconds())
	}
	fmt.Printf("full takes %.2f times as long as none; %.1f times are meant to be enough\n", median(times["full"]).Seconds()/median(times["none"]).Seconds(), mostForSyncs)
	return nil
}
