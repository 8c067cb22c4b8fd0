package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

const (
	smallPost = 4096
	largePost = 64 << 20
	// smallPosts are in each round, and as many again are not counted.
	smallPosts = 2000
)

// preparedPosts measures a prepared transfer: how long a small post takes until a
// program that waits at the target can read it, and how many bytes large ones move,
// beside a transfer for each.
func preparedPosts(ctx context.Context, o options, ends [2]*client.Client) error {
	src, err := makeRegion(ctx, ends[0], "n1", "step", largePost)
	if err != nil {
		return err
	}
	defer src.Close()
	if _, err := ends[1].CreateRegion(ctx, "n2", "halo", &xferv1.Region{SizeBytes: largePost}); err != nil {
		return err
	}
	fmt.Printf("\n## posts of a prepared transfer over loopback TCP\n\n")
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "4 KiB\tmedian\t99 of 100\t")
	dst, err := ends[1].AttachRegion(ctx, "halo", client.AttachOptions{})
	if err != nil {
		return err
	}
	defer dst.Close()
	seen, answered, err := smallLatency(ctx, o, ends[0], dst)
	if err != nil {
		return err
	}
	for _, row := range []struct {
		what string
		took []time.Duration
	}{{"posted to seen by a waiter that sleeps", seen}, {"posted to answered", answered}} {
		slices.Sort(row.took)
		fmt.Fprintf(w, "%s\t%v\t%v\t\n", row.what, row.took[len(row.took)/2], row.took[len(row.took)*99/100])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return largeRate(ctx, o, ends[0])
}

func stepSpec(length int64) *xferv1.TransferSpec {
	return &xferv1.TransferSpec{SourceNode: "n1", Sources: []*xferv1.Source{client.RegionSource("step", 0, length)}, TargetNode: "n2", Destination: client.RegionDestination("halo", 0)}
}

// smallLatency posts when the post before was seen and answered. Both ends are in
// this process, so their clock is the same.
func smallLatency(ctx context.Context, o options, c *client.Client, dst *client.Region) (seen, answered []time.Duration, err error) {
	p, err := c.Prepare(ctx, stepSpec(smallPost))
	if err != nil {
		return nil, nil, err
	}
	defer p.Close()
	// The waiter has an order of its own: what it waits for next is agreed before.
	next, saw := make(chan uint64), make(chan time.Time)
	defer close(next)
	go func() {
		for after := range next {
			_, err := dst.Wait(ctx, after)
			at := time.Now()
			if err != nil {
				at = time.Time{}
			}
			saw <- at
		}
	}()
	rounds := (o.rounds + 1) * smallPosts
	for i := range rounds {
		next <- dst.Generation()
		start := time.Now()
		_, err := p.Post(ctx)
		end := time.Now()
		at := <-saw
		if err != nil {
			return nil, nil, err
		}
		if i >= smallPosts {
			seen, answered = append(seen, at.Sub(start)), append(answered, end.Sub(start))
		}
	}
	return seen, answered, nil
}

// largeRate moves the same bytes by posts, and by a transfer each, in turns.
func largeRate(ctx context.Context, o options, c *client.Client) error {
	const many = 8
	p, err := c.Prepare(ctx, stepSpec(largePost))
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	var posts, single []time.Duration
	for round := range o.rounds + 1 {
		start := time.Now()
		for range many {
			if _, err := p.Post(ctx); err != nil {
				return err
			}
		}
		took := time.Since(start)
		if _, err := p.Finish(ctx); err != nil { // others may write the ranges now
			return err
		}
		start = time.Now()
		for range many {
			if err := move(ctx, c, stepSpec(largePost)); err != nil {
				return err
			}
		}
		if round > 0 {
			posts, single = append(posts, took), append(single, time.Since(start))
		}
		if p, err = c.Prepare(ctx, stepSpec(largePost)); err != nil {
			return err
		}
	}
	rate := func(d time.Duration) float64 { return many * largePost / d.Seconds() / 1e9 }
	a, b := median(posts), median(single)
	fmt.Printf("\n64 MiB each: %.2f GB/s by posts, %.2f GB/s by a transfer for each; median of %d\n", rate(a), rate(b), o.rounds)
	return nil
}
