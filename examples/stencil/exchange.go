package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/examples/internal/party"
)

// exchange swaps the rows at the border with the neighbour. Both ends have two slots,
// which take turns: that is what keeps a row whole while it is used, without a word
// more between the two.
//
//   - In halo the neighbour's row of step n comes into slot n%2. The neighbour sends row
//     n+2, which goes there too, only when it has computed step n+2, for which it needs
//     our row n+1. We send that when we have computed step n+1, and so are done with
//     row n. It can never be too early.
//   - In edge our row of step n leaves from slot n%2. Before row n+2 is put there, the
//     answer to the post of row n has to be here: until then its bytes are in use.
//
// With one slot each row would need a message back that says it was read.
type exchange struct {
	o          options
	c          *client.Client
	halo, edge *party.Shared
	slot       int64    // bytes of one
	seen       uint64   // generation of halo
	posts      [2]*post // one for each slot
}

func haloID(id string, rank int) string { return id + ".halo." + strconv.Itoa(rank) }
func edgeID(id string, rank int) string { return id + ".edge." + strconv.Itoa(rank) }

// newExchange shares the memory of this side.
func newExchange(ctx context.Context, c *client.Client, o options) (*exchange, error) {
	x := &exchange{o: o, c: c, slot: messageSize(o.cols)}
	var err error
	if x.edge, err = party.Share(ctx, c, o.here(), edgeID(o.id, o.rank), 2*x.slot, o.ttl); err != nil {
		return nil, err
	}
	if x.halo, err = party.Share(ctx, c, o.here(), haloID(o.id, o.rank), 2*x.slot, o.ttl); err != nil {
		return nil, x.edge.Leave(err)
	}
	return x, nil
}

// connect prepares both ways to the neighbour, whose halo is there: from then on a post
// costs no set-up. fail is told when one fails, since its row is then waited for in vain
// at the other side, and so the next one here.
func (x *exchange) connect(ctx context.Context, fail func(error)) error {
	for i := range x.posts {
		way, err := x.c.Prepare(ctx, &xferv1.TransferSpec{
			SourceNode: x.o.here(), Sources: []*xferv1.Source{client.RegionSource(edgeID(x.o.id, x.o.rank), int64(i)*x.slot, x.slot)},
			TargetNode: x.o.there(), Destination: client.RegionDestination(haloID(x.o.id, 1-x.o.rank), int64(i)*x.slot),
		})
		if err != nil {
			return fmt.Errorf("prepare the way to rank %d: %w", 1-x.o.rank, err)
		}
		x.posts[i] = &post{way: way, fail: fail}
	}
	return nil
}

// disconnect waits for the posts that are under way, and ends the ways; err is how it
// went.
func (x *exchange) disconnect(err error) error {
	for _, p := range x.posts {
		if p != nil {
			if failed := p.wait(); failed != nil && !errors.Is(failed, context.Canceled) {
				err = failed // which is why the rest failed
			}
		}
	}
	for _, p := range x.posts {
		if p != nil {
			err = party.Finish(p.way, err)
		}
	}
	return err
}

// send posts a row of a step. It does not wait for this post, only for the one before
// it from the same slot.
func (x *exchange) send(ctx context.Context, step int, row []float64) error {
	p := x.posts[step%2]
	if err := p.wait(); err != nil {
		return err
	}
	put(x.edge.Bytes()[int64(step%2)*x.slot:], step, row)
	p.begin(ctx, step)
	return nil
}

// receive waits for the neighbour's row of a step.
func (x *exchange) receive(ctx context.Context, step int, row []float64) (err error) {
	slot := x.halo.Bytes()[int64(step%2)*x.slot:]
	for !get(slot, step, row) {
		if x.seen, err = x.halo.Wait(ctx, x.seen); err != nil {
			return fmt.Errorf("wait for the neighbour's row of step %d: %w", step, err)
		}
	}
	return nil
}

// close gives the memory back, when the posts are over; err is how it went.
func (x *exchange) close(err error) error {
	return x.halo.Leave(x.edge.Leave(err))
}

// post is a way to the neighbour.
type post struct {
	way   *client.Prepared
	fail  func(error)
	under chan error // gets what became of a post; nil: nothing is under way
}

func (p *post) begin(ctx context.Context, step int) {
	p.under = make(chan error, 1)
	go func() { // wait waits for it
		_, err := p.way.Post(ctx)
		if err != nil {
			err = fmt.Errorf("send the row of step %d: %w", step, err)
			p.fail(err)
		}
		p.under <- err
	}()
}

// wait waits for the answer to the post before.
func (p *post) wait() error {
	if p.under == nil {
		return nil
	}
	err := <-p.under
	p.under = nil
	return err
}
