package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/examples/internal/party"
)

// Regions: the server has ID, and for each worker ID.report.NODE. A worker has ID.copy
// and ID.report.
func copyID(id string) string         { return id + ".copy" }
func reportID(id string) string       { return id + ".report" }
func reportOf(id, node string) string { return id + ".report." + node }

// member is a worker as the server knows it.
type member struct {
	node    string
	way     *client.Prepared // from the weights here to the copy there
	reports *party.Shared
	seen    uint64 // generation of reports
}

// serve pushes versions to the workers, each when all have reported the one before:
// what a worker reads is never written meanwhile.
func serve(ctx context.Context, c *client.Client, o options) (err error) {
	var team []*member
	for _, node := range o.workers {
		reports, err := party.Share(ctx, c, o.node, reportOf(o.id, node), reportSize, o.ttl)
		if err != nil {
			return err
		}
		defer func() { err = reports.Leave(err) }()
		team = append(team, &member{node: node, reports: reports})
	}
	mem, err := party.Share(ctx, c, o.node, o.id, labelSize+o.mib<<20, o.ttl)
	if err != nil {
		return err
	}
	defer func() { err = mem.Leave(err) }()

	for _, m := range team {
		if _, err := party.Appear(ctx, c, client.RegionName(m.node, copyID(o.id)), o.patience); err != nil {
			return fmt.Errorf("the worker on %s: %w", m.node, err)
		}
		// Once: the connections stand and the memory is registered from here on.
		if m.way, err = c.Prepare(ctx, &xferv1.TransferSpec{
			SourceNode: o.node, Sources: []*xferv1.Source{client.RegionSource(o.id, 0, -1)},
			TargetNode: m.node, Destination: client.RegionDestination(copyID(o.id), 0),
		}); err != nil {
			return fmt.Errorf("prepare the way to %s: %w", m.node, err)
		}
		defer func() { err = party.Finish(m.way, err) }()
	}
	ctx, over := context.WithCancel(ctx)
	defer over()
	group, ctx := errgroup.WithContext(ctx)
	for _, m := range team {
		group.Go(func() error { // nobody is waited for who is no more
			if err := party.Follow(ctx, c, client.RegionName(m.node, copyID(o.id))); err != nil {
				return fmt.Errorf("the worker on %s: %w", m.node, err)
			}
			return nil
		})
	}
	group.Go(func() error {
		defer over()
		return rounds(ctx, o, weights{mem.Bytes()}, team)
	})
	return group.Wait()
}

// rounds makes and pushes one version after the other.
func rounds(ctx context.Context, o options, w weights, team []*member) error {
	var pushing time.Duration
	for version := uint64(1); version <= uint64(o.versions); version++ {
		w.train(version)
		l := label{version: version, last: uint64(o.versions), digest: w.digest()}
		w.setLabel(l)

		start := time.Now()
		all, gctx := errgroup.WithContext(ctx)
		for _, m := range team {
			all.Go(func() error {
				// It returns when all of it is there, and committed.
				if _, err := m.way.Post(gctx); err != nil {
					return fmt.Errorf("push version %d to %s: %w", version, m.node, err)
				}
				return nil
			})
		}
		if err := all.Wait(); err != nil {
			return err
		}
		took := time.Since(start)
		pushing += took
		fmt.Printf("version %d: %d MiB to %d workers by %s in %v, %.2f GB/s\n", version, o.mib, len(team), team[0].way.Transport(), took.Round(time.Millisecond), rate(o, len(team), took))

		for _, m := range team {
			if err := m.answered(ctx, l); err != nil {
				return fmt.Errorf("the report of %s: %w", m.node, err)
			}
		}
	}
	fmt.Printf("all workers have all %d versions; %.2f GB/s\n", o.versions, rate(o, len(team)*o.versions, pushing))
	return nil
}

// rate is in GB/s.
func rate(o options, copies int, d time.Duration) float64 {
	return float64(copies) * float64(o.mib<<20) / d.Seconds() / 1e9
}

// answered waits for the report of a version, and compares it.
func (m *member) answered(ctx context.Context, l label) (err error) {
	for {
		if r, whole := getReport(m.reports.Bytes()); whole && r.version == l.version {
			if r.digest != l.digest {
				return fmt.Errorf("version %d has digest %x there, and %x here", l.version, r.digest, l.digest)
			}
			return nil
		}
		// A rise of the generation says that there is something new, not what.
		if m.seen, err = m.reports.Wait(ctx, m.seen); err != nil {
			return err
		}
	}
}
