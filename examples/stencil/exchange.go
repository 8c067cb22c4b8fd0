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

// connect prepares the way to the neighbour, whose halo is there. fail is told when a
// post fails, since its row is then waited for in vain at the other side, and so the
// next one here.
func (x *exchange) connect(fail func(error)) {
	for i := range x.posts {
		x.posts[i] = &post{c: x.c, fail: fail, spec: &xferv1.TransferSpec{
			SourceNode: x.o.here(), Sources: []*xferv1.Source{client.RegionSource(edgeID(x.o.id, x.o.rank), int64(i)*x.slot, x.slot)},
			TargetNode: x.o.there(), Destination: client.RegionDestination(haloID(x.o.id, 1-x.o.rank), int64(i)*x.slot),
		}}
	}
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

// drain waits for the posts that are under way.
func (x *exchange) drain() (err error) {
	for _, p := range x.posts {
		if p != nil {
			err = errors.Join(err, p.wait())
		}
	}
	return err
}

// close gives the memory back, when the posts are over; err is how it went.
func (x *exchange) close(err error) error {
	return x.halo.Leave(x.edge.Leave(err))
}

// post is one way to the neighbour, that is used again and again.
type post struct {
	c     *client.Client
	spec  *xferv1.TransferSpec
	fail  func(error) // tells those who wait for something else
	under chan error  // holds what became of it; nil: nothing is under way
}

func (p *post) begin(ctx context.Context, step int) {
	p.under = make(chan error, 1)
	go func() { // wait waits for it
		_, err := party.Move(ctx, p.c, p.spec)
		if err != nil {
			err = fmt.Errorf("send the row of step %d: %w", step, err)
			p.fail(err)
		}
		p.under <- err
	}()
}

func (p *post) wait() error {
	if p.under == nil {
		return nil
	}
	err := <-p.under
	p.under = nil
	return err
}
