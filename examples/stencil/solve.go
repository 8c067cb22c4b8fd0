package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/examples/internal/party"
)

// half are the rows that a rank computes: first to last-1 of the plate.
func (o options) half(rank int) (first, last int) {
	middle := o.rows / 2
	if rank == 0 {
		return 1, middle
	}
	return middle, o.rows - 1
}

func answerID(id string) string { return id + ".answer" }
func partID(id string) string   { return id + ".part" }

// solve computes one half, and with rank 0 puts the answer together and checks it.
func solve(ctx context.Context, c *client.Client, o options) (err error) {
	first, last := o.half(1)
	lower := (last - first) * o.cols // cells that rank 1 sends in the end
	id := answerID(o.id)
	if o.rank == 1 {
		id = partID(o.id)
	}
	part, err := party.Share(ctx, c, o.here(), id, messageSize(lower), o.ttl)
	if err != nil {
		return err
	}
	defer func() { err = part.Leave(err) }()
	x, err := newExchange(ctx, c, o)
	if err != nil {
		return err
	}
	defer func() { err = x.close(err) }()
	neighbour := client.RegionName(o.there(), haloID(o.id, 1-o.rank))
	if _, err := party.Appear(ctx, c, neighbour, o.patience); err != nil {
		return fmt.Errorf("rank %d: %w", 1-o.rank, err)
	}

	var complete atomic.Bool
	ctx, over := context.WithCancel(ctx)
	defer over()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { // nothing is waited for that does not come
		err := party.Follow(ctx, c, neighbour)
		if err == nil || complete.Load() && errors.Is(err, party.ErrGone) {
			return nil
		}
		return fmt.Errorf("rank %d: %w", 1-o.rank, err)
	})
	group.Go(func() error {
		mine, err := x.run(ctx, o)
		if err != nil {
			return err
		}
		if o.rank == 0 {
			defer over()
			return check(ctx, o, mine, part, lower)
		}
		complete.Store(true) // the other may go when it has this
		put(part.Bytes(), o.steps, mine.cells[o.cols:len(mine.cells)-o.cols])
		return move(ctx, c, &xferv1.TransferSpec{
			SourceNode: o.here(), Sources: []*xferv1.Source{client.RegionSource(partID(o.id), 0, -1)},
			TargetNode: o.there(), Destination: client.RegionDestination(answerID(o.id), 0),
		})
	})
	return group.Wait()
}

// move runs one transfer to its end. It is what a program takes that sends once.
func move(ctx context.Context, c *client.Client, spec *xferv1.TransferSpec) error {
	t, err := c.Submit(ctx, "", spec)
	if err != nil {
		return err
	}
	done, err := c.Wait(ctx, t.GetName())
	if err != nil {
		return err
	}
	return client.TransferError(done)
}

// run computes the steps of this half, and returns it with a row more on both sides.
func (x *exchange) run(ctx context.Context, o options) (_ *plate, err error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	defer func() {
		if err != nil {
			fail(err) // ends the posts that are under way
		}
		err = x.disconnect(err)
	}()
	if err := x.connect(ctx, fail); err != nil {
		return nil, err
	}
	first, last := o.half(o.rank)
	now, next := newPlate(o.cols, first-1, last+1), newPlate(o.cols, first-1, last+1)
	rows := now.rows()
	edge, halo, from, to := rows-2, rows-1, 1, rows-2 // of the upper half: the others are rows from to to-1
	if o.rank == 1 {
		edge, halo, from, to = 1, 0, 2, rows-1
	}
	start := time.Now()
	for step := 1; step <= o.steps; step++ {
		// The row that the other waits for comes first, and travels while the rest
		// is computed.
		next.relax(now, edge, edge+1)
		if step < o.steps {
			if err := x.send(ctx, step, next.row(edge)); err != nil {
				return nil, err
			}
		}
		next.relax(now, from, to)
		if step < o.steps {
			if err := x.receive(ctx, step, next.row(halo)); err != nil {
				return nil, err
			}
		}
		now, next = next, now
	}
	took := time.Since(start)
	fmt.Printf("rank %d: %d steps of %d x %d cells, with rows by %s, in %v, %.0f steps/s\n", o.rank, o.steps, last-first, o.cols, x.posts[0].way.Transport(), took.Round(time.Millisecond), float64(o.steps)/took.Seconds())
	return now, nil
}

// check waits for the lower half, and compares all of the plate with what one process
// makes of it.
func check(ctx context.Context, o options, mine *plate, part *party.Shared, lower int) error {
	all := newPlate(o.cols, 0, o.rows)
	copy(all.cells, mine.cells[:len(mine.cells)-o.cols])
	first, last := o.half(1)
	for seen := uint64(0); !get(part.Bytes(), o.steps, all.cells[first*o.cols:last*o.cols]); {
		var err error
		if seen, err = part.Wait(ctx, seen); err != nil {
			return fmt.Errorf("wait for the lower half: %w", err)
		}
	}
	for i, want := range alone(o.rows, o.cols, o.steps).cells {
		if got := all.cells[i]; math.Float64bits(got) != math.Float64bits(want) {
			return fmt.Errorf("row %d, column %d is %v, and %v when one process computes it", i/o.cols, i%o.cols, got, want)
		}
	}
	fmt.Printf("the answer of both is that of one process, bit for bit: %d cells, %d of them from %s\n", len(all.cells), lower, o.there())
	return nil
}
