package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

const (
	descriptors   = 100_000 // in one transfer
	descriptor    = 2048    // bytes of each
	manyRegions   = 10_000
	regionsAtOnce = 16
)

// regions measures memory to memory: one region into another over loopback TCP
// beside the raw floor, very many descriptors in one transfer, and very many regions.
func regions(ctx context.Context, o options) error {
	return withEnds(ctx, o, func(cl *cluster, ends [2]*client.Client) error {
		if err := regionMoves(ctx, o, cl, ends); err != nil {
			return err
		}
		return regionCount(ctx, cl, ends[0])
	})
}

// withEnds calls f with a cluster, and clients of both nodes by their sockets.
func withEnds(ctx context.Context, o options, f func(*cluster, [2]*client.Client) error) error {
	root, err := os.MkdirTemp(o.tmpfs, "xferd-bench.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	cl, err := startCluster(ctx, o, root, "--regions-count", strconv.Itoa(manyRegions+10))
	if err != nil {
		return err
	}
	defer cl.stop()
	var ends [2]*client.Client
	for i, name := range []string{"n1", "n2"} {
		if ends[i], err = client.Dial("unix://"+filepath.Join(filepath.Dir(cl.socket), name+".sock"), client.Options{}); err != nil {
			return err
		}
		defer ends[i].Close()
	}
	return f(cl, ends)
}

// makeRegion makes a region and attaches it.
func makeRegion(ctx context.Context, c *client.Client, node, id string, size int64) (*client.Region, error) {
	if _, err := c.CreateRegion(ctx, node, id, &xferv1.Region{SizeBytes: size}); err != nil {
		return nil, err
	}
	return c.AttachRegion(ctx, id, client.AttachOptions{})
}

func regionMoves(ctx context.Context, o options, cl *cluster, ends [2]*client.Client) error {
	size := min(o.fileSize, 1<<30)
	src, err := makeRegion(ctx, ends[0], "n1", "from", size)
	if err != nil {
		return err
	}
	defer src.Close()
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(src.Bytes())
	dst, err := makeRegion(ctx, ends[1], "n2", "to", size)
	if err != nil {
		return err
	}
	defer dst.Close()
	whole := &xferv1.TransferSpec{SourceNode: "n1", Sources: []*xferv1.Source{client.RegionSource("from", 0, -1)}, TargetNode: "n2", Destination: client.RegionDestination("to", 0)}
	plain := &xferv1.TransferSpec{SourceNode: "n1", Sources: whole.Sources, TargetNode: "n2", Destination: whole.Destination, Verify: xferv1.Verify_VERIFY_NONE}
	floor, err := newMemoryFloor(size)
	if err != nil {
		return err
	}
	defer floor.close()
	contenders := []struct {
		name string
		run  func(u *usage) error
	}{
		{"xferd", func(*usage) error { return move(ctx, ends[0], whole) }},
		{"xferd, verify none", func(*usage) error { return move(ctx, ends[0], plain) }},
		{"floor+digests", func(*usage) error { return floor.run(true) }},
		{"floor", func(*usage) error { return floor.run(false) }},
		{fmt.Sprintf("xferd, %d pieces of %d bytes", descriptors, pieceLength(size)), func(*usage) error { return move(ctx, ends[0], scattered(size)) }},
	}
	daemons := append([]daemon{{pid: os.Getpid()}}, cl.daemons...)
	runs := make([][]usage, len(contenders))
	for round := range o.rounds + 1 { // the first one warms up
		for i, c := range contenders {
			runtime.GC()
			u, err := measure(daemons, "", c.run)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if round > 0 {
				runs[i] = append(runs[i], u)
			}
		}
	}
	fmt.Printf("\n## %d MiB of memory into memory over loopback TCP, median of %d\n\n", size>>20, o.rounds)
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "\twall\tGB/s\tof floor+digests\tCPU s/GB\t")
	var floors time.Duration
	for i, c := range contenders {
		if c.name == "floor+digests" {
			floors = medianOf(runs[i], func(u usage) time.Duration { return u.wall })
		}
	}
	for i, c := range contenders {
		wall, cpu := medianOf(runs[i], func(u usage) time.Duration { return u.wall }), medianOf(runs[i], func(u usage) time.Duration { return u.cpu })
		bytes := float64(size)
		ratio := fmt.Sprintf("%.2f", floors.Seconds()/wall.Seconds())
		if i == len(contenders)-1 {
			bytes, ratio = descriptors*float64(pieceLength(size)), "-"
		}
		fmt.Fprintf(w, "%s\t%v\t%.2f\t%s\t%.2f\t\n", c.name, wall.Round(time.Millisecond), bytes/wall.Seconds()/1e9, ratio, cpu.Seconds()/bytes*1e9)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	last := runs[len(runs)-1]
	fmt.Printf("peak RSS of the largest process so far %d MiB; regions count in it where they were touched\n", last[len(last)-1].rss>>20)
	return nil
}

func medianOf(list []usage, f func(usage) time.Duration) time.Duration {
	var v []time.Duration
	for _, u := range list {
		v = append(v, f(u))
	}
	return median(v)
}

// scattered is a transfer of many small pieces, in another order at the target.
func scattered(size int64) *xferv1.TransferSpec {
	p := &xferv1.Pieces{Regions: []string{"from"}}
	gap := size / descriptors
	for i := range int64(descriptors) {
		p.PathIndex = append(p.PathIndex, 0)
		p.Offset = append(p.Offset, i*gap)
		p.Length = append(p.Length, pieceLength(size))
		p.DestOffset = append(p.DestOffset, (i*77_777%descriptors)*gap)
	}
	return &xferv1.TransferSpec{Mode: xferv1.Mode_MODE_ASSEMBLE, SourceNode: "n1", Pieces: p, TargetNode: "n2", Destination: client.RegionDestination("to", 0)}
}

// pieceLength is the length of each: half of the memory moves at most.
func pieceLength(size int64) int64 { return min(descriptor, size/descriptors/2) }

// move runs a transfer to its end.
func move(ctx context.Context, c *client.Client, spec *xferv1.TransferSpec) error {
	t, err := c.Submit(ctx, "", spec)
	if err != nil {
		return err
	}
	done, err := c.Wait(ctx, t.GetName())
	if err == nil {
		err = client.TransferError(done)
	}
	if err == nil && done.GetGeneration() == 0 {
		err = errors.New("no generation")
	}
	return err
}

// regionCount makes very many small regions, and looks at all of them.
func regionCount(ctx context.Context, cl *cluster, c *client.Client) error {
	count := manyRegions
	var limit unix.Rlimit // a region has two descriptors
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil {
		count = int(min(uint64(count), (limit.Max-500)/2))
	}
	before, err := cl.daemons[1].read() // n1 is the last one that was started
	if err != nil {
		return err
	}
	start := time.Now()
	var made errgroup.Group
	made.SetLimit(regionsAtOnce)
	for i := range count {
		made.Go(func() error {
			_, err := c.CreateRegion(ctx, "n1", fmt.Sprintf("many-%05d", i), &xferv1.Region{SizeBytes: 4096})
			return err
		})
	}
	if err := made.Wait(); err != nil {
		return err
	}
	create := time.Since(start)
	start = time.Now()
	list, _, err := c.ListRegions(ctx, "nodes/n1")
	if err != nil {
		return err
	}
	look := time.Since(start)
	after, err := cl.daemons[1].read()
	if err != nil {
		return err
	}
	fmt.Printf("\n## %d regions of one page on a node\n\n", count)
	fmt.Printf("create, %d at a time   %v, %.0f a second\n", regionsAtOnce, create.Round(time.Millisecond), float64(count)/create.Seconds())
	fmt.Printf("list all %d           %v\n", len(list), look.Round(time.Millisecond))
	fmt.Printf("memory of the daemon    %d KiB more for each region, at its peak\n", (after.rss-before.rss)/int64(count)>>10)
	return nil
}
