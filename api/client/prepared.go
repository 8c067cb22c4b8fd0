package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// Prepared is a prepared transfer that this program posts: each post sends all of its
// ranges once, and pays no set-up. The sources are not to be changed from Post to its
// return. Its methods may be called concurrently; posts go one after the other.
type Prepared struct {
	c    *Client
	name string

	mu       sync.Mutex
	calls    postCall // nil: none is open
	hangUp   context.CancelFunc
	sequence uint64
	last     *xferv1.Posted
	path     string
	over     bool
}

type postCall = grpc.BidiStreamingClient[xferv1.PostTransferRequest, xferv1.PostTransferResponse]

// closeTimeout bounds Prepared.Close.
const closeTimeout = 10 * time.Second

// Prepare submits a prepared transfer (spec.prepared is set for it) and returns when
// its data path stands. Where that fails the transfer is cancelled. Close it.
func (c *Client) Prepare(ctx context.Context, spec *xferv1.TransferSpec) (*Prepared, error) {
	spec = proto.CloneOf(spec)
	spec.Prepared = true
	t, err := c.Submit(ctx, "", spec)
	if err != nil {
		return nil, err
	}
	p, err := c.OpenPrepared(ctx, t.GetName())
	if err != nil {
		short, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		_, _ = c.Cancel(short, t.GetName(), false) // the first error tells more
		return nil, err
	}
	return p, nil
}

// OpenPrepared posts a prepared transfer that exists, and returns when its data path
// stands. One program does so at a time: POSTS_BUSY.
func (c *Client) OpenPrepared(ctx context.Context, name string) (*Prepared, error) {
	p := &Prepared{c: c, name: name}
	silence := outage{patience: c.patience}
	for {
		err := p.open(ctx)
		if err == nil {
			return p, nil
		}
		if err := silence.wait(ctx, AsError(err)); err != nil {
			return nil, err
		}
	}
}

// Name of the transfer.
func (p *Prepared) Name() string { return p.name }

// Transport is that by which posts go, or went last: "rdma", "tcp" or "local".
func (p *Prepared) Transport() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.path
}

// Last is the answer to the last post; nil where there is none.
func (p *Prepared) Last() *xferv1.Posted {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// Post sends all ranges once, as they are now, and returns the generation of the
// destination that this made. When the connection breaks it posts again, so that a
// post may be committed twice, with the same bytes. After the end of ctx it is not
// known whether it was committed. Errors: why the post failed (the next one may not),
// or why the transfer is over.
func (p *Prepared) Post(ctx context.Context) (generation uint64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	silence := outage{patience: p.c.patience}
	for {
		m, err := p.post(ctx)
		if err == nil {
			p.last, p.path = m, m.GetTransport()
			if f := m.GetError(); f != nil {
				return 0, meaning(&Error{Reason: f.GetReason(), Side: f.GetSide(), Phase: f.GetPhase(), Node: f.GetNode(), Hint: f.GetHint(), Path: escape(f.GetPath()), Message: p.name + ": " + f.GetMessage()})
			}
			return m.GetGeneration(), nil
		}
		p.drop()
		if p.over {
			return 0, err
		}
		if err := silence.wait(ctx, AsError(err)); err != nil {
			return 0, err
		}
	}
}

// post posts once, by the stream that is open, or a new one. The mutex is held.
func (p *Prepared) post(ctx context.Context) (*xferv1.Posted, error) {
	if p.over {
		err := errors.New(p.name + " is closed")
		return nil, &Error{Reason: xferv1.Reason_REASON_ALREADY_FINISHED.Name(), ExitCode: 1, Message: err.Error(), Err: err}
	}
	if p.calls == nil {
		if err := p.open(ctx); err != nil {
			return nil, err
		}
	}
	stop := p.until(ctx)
	defer func() {
		if !stop() { // it was hung up, also where the answer came in the same moment
			p.drop()
		}
	}()
	p.sequence++
	if err := p.calls.Send(&xferv1.PostTransferRequest{Sequence: p.sequence}); err != nil && !errors.Is(err, io.EOF) {
		return nil, p.why(ctx, err)
	} // with EOF receiving tells why
	for {
		m, err := p.calls.Recv()
		if err != nil {
			return nil, p.why(ctx, err)
		}
		if a := m.GetPosted(); a.GetSequence() == p.sequence {
			return a, nil
		}
	}
}

// open opens a stream, and waits until posts need no set-up. Nobody else has p, or
// the mutex is held.
func (p *Prepared) open(ctx context.Context) error {
	life, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	p.hangUp = hangUp
	stop := p.until(ctx)
	calls, err := p.c.transfers.PostTransfer(life)
	if err == nil {
		if err = calls.Send(&xferv1.PostTransferRequest{Name: p.name}); errors.Is(err, io.EOF) {
			err = nil
		}
	}
	var m *xferv1.PostTransferResponse
	if err == nil {
		m, err = calls.Recv()
	}
	if err == nil && m.GetReady() == nil {
		err = fmt.Errorf("the first news of the posts are %v", m)
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		hangUp()
		return p.why(ctx, err)
	}
	p.calls, p.path = calls, m.GetReady().GetTransport()
	return nil
}

// until ends the stream with ctx, until the function that it returns was called, which
// reports whether it did not.
func (p *Prepared) until(ctx context.Context) (stop func() bool) {
	if ctx.Done() == nil {
		return func() bool { return true }
	}
	return context.AfterFunc(ctx, p.hangUp)
}

// why is the error of a stream that ended.
func (p *Prepared) why(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return AsError(ctx.Err())
	case errors.Is(err, io.EOF):
		p.over = true
		err := errors.New(p.name + " was finished")
		return &Error{Reason: xferv1.Reason_REASON_ALREADY_FINISHED.Name(), ExitCode: 1, Message: err.Error(), Err: err}
	}
	return AsError(err)
}

// drop ends the stream. The mutex is held.
func (p *Prepared) drop() {
	if p.calls != nil {
		p.hangUp()
		p.calls = nil
	}
}

// FinishPosts asks for the end of a prepared transfer, which succeeds when all that was
// posted is answered.
func (c *Client) FinishPosts(ctx context.Context, name string) (*xferv1.Transfer, error) {
	resp, err := call(ctx, plain(c.transfers.FinishTransfer), &xferv1.FinishTransferRequest{Name: name})
	return resp.GetTransfer(), err
}

// Finish ends the transfer well, and returns it when it is over.
func (p *Prepared) Finish(ctx context.Context) (*xferv1.Transfer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	defer p.drop()
	if _, err := p.c.FinishPosts(ctx, p.name); err != nil {
		return nil, err
	}
	t, err := p.c.Wait(ctx, p.name)
	if err != nil {
		return nil, err
	}
	return t, TransferError(t)
}

// Leave stops posting and leaves the transfer to others, who may call OpenPrepared.
// It ends by itself when nobody does.
func (p *Prepared) Leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.drop()
}

// Close ends the transfer, unless that was done, and waits for its end for 10 seconds
// at most.
func (p *Prepared) Close() error {
	p.mu.Lock()
	over := p.over
	p.mu.Unlock()
	if over {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_, err := p.Finish(ctx)
	return err
}
