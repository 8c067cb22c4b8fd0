package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"text/tabwriter"
	"time"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// regions measures memory to memory: one region into another over loopback TCP
// beside the raw floor, very many pieces in one transfer, and very many regions.
func regions(ctx context.Context, o options) error {
	err := withEnds(ctx, o, nil, func(cl *cluster, ends [2]*client.Client) error { return regionMoves(ctx, o, cl, ends) })
	if err == nil {
		err = manyPieces(ctx, o)
	}
	if err == nil {
		err = manyRegions(ctx, o)
	}
	return err
}

// withEnds calls f with a cluster of daemons with these flags, and clients of both nodes
// by their sockets.
func withEnds(ctx context.Context, o options, flags []string, f func(*cluster, [2]*client.Client) error) error {
	root, err := os.MkdirTemp(o.tmpfs, "xferd-bench.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	cl, err := startCluster(ctx, o, root, flags...)
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
	plain := wholeRegion()
	plain.Verify = xferv1.Verify_VERIFY_NONE
	floor, err := newMemoryFloor(size)
	if err != nil {
		return err
	}
	defer floor.close()
	contenders := []struct {
		name string
		run  func(u *usage) error
	}{
		{"xferd", func(*usage) error { return move(ctx, ends[0], wholeRegion()) }},
		{"xferd, verify none", func(*usage) error { return move(ctx, ends[0], plain) }},
		{"floor+digests", func(*usage) error { return floor.run(true) }},
		{"floor", func(*usage) error { return floor.run(false) }},
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
		fmt.Fprintf(w, "%s\t%v\t%.2f\t%.2f\t%.2f\t\n", c.name, wall.Round(time.Millisecond), float64(size)/wall.Seconds()/1e9, floors.Seconds()/wall.Seconds(), cpu.Seconds()/float64(size)*1e9)
	}
	return w.Flush()
}

func medianOf(list []usage, f func(usage) time.Duration) time.Duration {
	var v []time.Duration
	for _, u := range list {
		v = append(v, f(u))
	}
	return median(v)
}

func wholeRegion() *xferv1.TransferSpec {
	return &xferv1.TransferSpec{SourceNode: "n1", Sources: []*xferv1.Source{client.RegionSource("from", 0, -1)}, TargetNode: "n2", Destination: client.RegionDestination("to", 0)}
}

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
