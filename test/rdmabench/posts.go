package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// postRow is how long a post of a prepared transfer takes, between two daemons, until
// a program at the target sees it, and until the one that posted is answered.
type postRow struct{ seen, slow, answered, edge float64 } // us; slow is the 99th of 100, edge without the daemons

// posts posts 4 KiB from memory to memory, each when the one before was seen and
// answered.
func posts(ctx context.Context, d *daemons, n int) (r postRow, err error) {
	at, err := client.Dial("unix://"+filepath.Join(d.dir, "n2.s"), client.Options{})
	if err != nil {
		return r, err
	}
	defer at.Close()
	ends := []struct {
		c        *client.Client
		node, id string
	}{{d.api, "n1", "step"}, {at, "n2", "halo"}}
	var dst *client.Region
	for _, e := range ends {
		if _, err := e.c.CreateRegion(ctx, e.node, e.id, &xferv1.Region{SizeBytes: smallSize}); err != nil {
			return r, err
		}
		name := client.RegionName(e.node, e.id)
		defer e.c.DeleteRegion(ctx, name, true) //nolint:errcheck // the daemons end
		g, err := e.c.AttachRegion(ctx, e.id, client.AttachOptions{})
		if err != nil {
			return r, err
		}
		defer g.Close()
		dst = g
	}
	p, err := d.api.Prepare(ctx, &xferv1.TransferSpec{
		SourceNode: "n1", Sources: []*xferv1.Source{client.RegionSource("step", 0, -1)}, TargetNode: "n2", Destination: client.RegionDestination("halo", 0),
		Transport: xferv1.TransportPolicy_TRANSPORT_POLICY_RDMA,
	})
	if err != nil {
		return r, err
	}
	defer p.Close()
	next, saw := make(chan uint64), make(chan time.Time)
	defer close(next)
	go func() {
		for after := range next {
			if _, err := dst.Wait(ctx, after); err != nil {
				close(saw)
				return
			}
			saw <- time.Now()
		}
	}()
	var seen, answered []time.Duration
	for i := range n {
		next <- dst.Generation()
		start := time.Now()
		if _, err := p.Post(ctx); err != nil {
			return r, err
		}
		end := time.Now()
		at, ok := <-saw
		if !ok {
			return r, errors.New("the waiter lost its region")
		}
		if i >= n/10 { // the first ones find everything cold
			seen, answered = append(seen, at.Sub(start)), append(answered, end.Sub(start))
		}
	}
	if p.Transport() != "rdma" {
		return r, fmt.Errorf("posts went by %s", p.Transport())
	}
	slices.Sort(seen)
	slices.Sort(answered)
	return postRow{seen: micros(seen[len(seen)/2]), slow: micros(seen[len(seen)*99/100]), answered: micros(answered[len(answered)/2])}, nil
}

// printPosts prints medians of several rounds, beside a floor.
func printPosts(rows []postRow, floor float64) {
	of := func(f func(postRow) float64) float64 {
		var v []float64
		for _, r := range rows {
			v = append(v, f(r))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	for _, row := range []struct {
		name string
		us   float64
	}{
		{"prepared, an edge alone, posted to commit seen", of(func(r postRow) float64 { return r.edge })},
		{"prepared, posted by a program to seen by another", of(func(r postRow) float64 { return r.seen })},
		{"the 99th of 100", of(func(r postRow) float64 { return r.slow })},
		{"prepared, posted to answered", of(func(r postRow) float64 { return r.answered })},
	} {
		fmt.Printf("| %s | %.1f | %.2f |\n", row.name, row.us, row.us/floor)
	}
}
