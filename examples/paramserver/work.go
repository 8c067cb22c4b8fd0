package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/examples/internal/party"
)

// work gets the versions that a server pushes, until the last one.
func work(ctx context.Context, c *client.Client, o options) (err error) {
	master := client.RegionName(o.from, o.id)
	there, err := party.Appear(ctx, c, master, o.patience)
	if err != nil {
		return fmt.Errorf("the server on %s: %w", o.from, err)
	}
	reports, err := party.Share(ctx, c, o.node, reportID(o.id), reportSize, o.ttl)
	if err != nil {
		return err
	}
	defer func() { err = reports.Leave(err) }()
	mem, err := party.Share(ctx, c, o.node, copyID(o.id), there.GetSizeBytes(), o.ttl)
	if err != nil {
		return err
	}
	defer func() { err = mem.Leave(err) }()
	back, err := c.Prepare(ctx, &xferv1.TransferSpec{
		SourceNode: o.node, Sources: []*xferv1.Source{client.RegionSource(reportID(o.id), 0, reportSize)},
		TargetNode: o.from, Destination: client.RegionDestination(reportOf(o.id, o.node), 0),
	})
	if err != nil {
		return fmt.Errorf("prepare the way of reports: %w", err)
	}
	defer func() { err = party.Finish(back, err) }()

	var complete atomic.Bool
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		err := party.Follow(ctx, c, master)
		if errors.Is(err, party.ErrGone) && complete.Load() {
			return nil // as it should be
		}
		if err != nil {
			return fmt.Errorf("the server on %s: %w", o.from, err)
		}
		return nil
	})
	group.Go(func() error { return receive(ctx, weights{mem.Bytes()}, mem, reports, back, &complete) })
	return group.Wait()
}

// settle is how long a version may not be what its label says. That happens where a
// rise of the generation was none of this version, and its bytes are still coming.
const settle = 10 * time.Second

// receive waits for each version, looks whether it is whole, and reports it. When all
// are complete the server may go.
func receive(ctx context.Context, w weights, mem, reports *party.Shared, back *client.Prepared, complete *atomic.Bool) error {
	have, seen := label{}, uint64(0)
	for have.version == 0 || have.version < have.last {
		var err error
		if seen, err = mem.Wait(ctx, seen); err != nil { // no call: a look at a page of memory
			return err
		}
		l := w.label()
		if l.version == have.version {
			continue
		}
		start := time.Now()
		for w.digest() != l.digest {
			wait, cancel := context.WithTimeout(ctx, settle)
			seen, err = mem.Wait(wait, seen)
			cancel()
			if err != nil {
				return fmt.Errorf("version %d is not what it should be: digest %x, not %x: %w", l.version, w.digest(), l.digest, err)
			}
			l = w.label()
		}
		fmt.Printf("version %d of %d: generation %d, digest %x is right, read in %v\n", l.version, l.last, seen, l.digest, time.Since(start).Round(time.Millisecond))
		report{version: l.version, digest: l.digest}.put(reports.Bytes())
		complete.Store(l.version == l.last)
		if _, err := back.Post(ctx); err != nil {
			return fmt.Errorf("report version %d: %w", l.version, err)
		}
		have = l
	}
	return nil
}
