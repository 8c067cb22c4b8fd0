package server

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

// PostStream is who posts a prepared transfer: the one caller of PostTransfer.
// Package lifecycle implements it. One goroutine posts and one takes the news.
type PostStream interface {
	// Post posts once more, without blocking. POSTS_LIMIT: too many posts are without
	// an answer that was taken.
	Post(sequence uint64) error
	// End: nothing more is posted.
	End()
	// Next waits for the next news, or the end of ctx. io.EOF: there will be none.
	Next(ctx context.Context) (transfer.PostNews, error)
	Close() error
}

// postPeer is what posts go to: the engine, or the node that has it.
type postPeer interface {
	take(m *xferv1.PostTransferRequest) error
	end() error
	news() (*xferv1.PostTransferResponse, error) // io.EOF after the last
}

// PostTransfer has a goroutine for each direction: a post goes to the edge by the one
// that received it. Both end when the handler does, which neither can hold up.
func (s *transferService) PostTransfer(stream grpc.BidiStreamingServer[xferv1.PostTransferRequest, xferv1.PostTransferResponse]) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	defer context.AfterFunc(s.stopped, func() { cancel(s.stopping()) })()
	in, out := make(chan error, 1), make(chan error, 1)
	first, peers := make(chan *xferv1.PostTransferRequest, 1), make(chan postPeer, 1)
	if !s.pumps.begin() {
		return s.stopping()
	}
	go func() {
		defer s.pumps.end()
		in <- s.takePosts(ctx, stream, first, peers)
	}()

	var m *xferv1.PostTransferRequest
	select {
	case m = <-first:
	case err := <-in:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	peer, done, err := s.postTo(ctx, m)
	if err != nil {
		return err
	}
	defer done()
	peers <- peer
	if !s.pumps.begin() {
		return s.stopping()
	}
	go func() {
		defer s.pumps.end()
		for {
			m, err := peer.news()
			if err == nil {
				err = stream.Send(m)
			}
			if err != nil {
				out <- err
				return
			}
		}
	}()
	for {
		select {
		case err := <-in:
			if err != nil {
				return err
			}
			in = nil // what was posted is still answered
		case err := <-out:
			if err == io.EOF {
				return nil
			}
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// takePosts takes what the caller sends, until it sends no more.
func (s *transferService) takePosts(ctx context.Context, stream grpc.BidiStreamingServer[xferv1.PostTransferRequest, xferv1.PostTransferResponse],
	first chan<- *xferv1.PostTransferRequest, peers <-chan postPeer,
) error {
	m, err := stream.Recv()
	switch {
	case err == io.EOF:
		return invalid("name", "it is missing")
	case err != nil:
		return err
	case m.GetSequence() != 0 || m.GetFinish():
		return invalid("sequence", "the first message names the transfer and posts nothing")
	}
	first <- m
	var peer postPeer
	select {
	case peer = <-peers:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for {
		m, err := stream.Recv()
		switch {
		case err == io.EOF:
			return peer.end()
		case err == nil && m.GetName() != "":
			err = invalid("name", "it stands in the first message alone")
		case err == nil:
			err = peer.take(m)
		}
		if err != nil {
			return err
		}
	}
}

// postTo finds whom a transfer is posted to. done is called at the end.
func (s *transferService) postTo(ctx context.Context, m *xferv1.PostTransferRequest) (_ postPeer, done func(), err error) {
	owner, id, err := parseName("name", m.GetName())
	if err != nil {
		return nil, nil, err
	}
	conn, err := s.route(ctx, owner)
	if err != nil {
		return nil, nil, err
	}
	if conn == nil {
		if _, err := s.visible(ctx, id); err != nil {
			return nil, nil, err
		}
		p, err := s.cfg.Engine.OpenPosts(ctx, id)
		if err != nil {
			return nil, nil, err
		}
		return &ownPosts{s: s.Server, ctx: ctx, id: id, p: p}, func() { _ = p.Close() }, nil
	}
	ctx, cancel := context.WithCancel(s.forwarding(ctx))
	up, err := xferv1.NewTransferServiceClient(conn).PostTransfer(ctx)
	if err == nil {
		err = up.Send(m)
	}
	if err != nil && !errors.Is(err, io.EOF) { // with EOF receiving tells why
		cancel()
		return nil, nil, remoteError(ctx, owner, err)
	}
	return &otherPosts{ctx: ctx, owner: owner, up: up}, cancel, nil
}

// ownPosts are posts of a transfer of this node.
type ownPosts struct {
	s   *Server
	ctx context.Context
	id  string
	p   PostStream
}

func (o *ownPosts) take(m *xferv1.PostTransferRequest) error {
	if m.GetFinish() {
		_, err := o.s.cfg.Engine.FinishPosts(o.ctx, o.id)
		return err
	}
	return o.p.Post(m.GetSequence())
}

func (o *ownPosts) end() error {
	o.p.End()
	return nil
}

func (o *ownPosts) news() (*xferv1.PostTransferResponse, error) {
	n, err := o.p.Next(o.ctx)
	if err != nil {
		return nil, err
	}
	p := &n.Posted
	if n.Ready {
		return &xferv1.PostTransferResponse{Event: &xferv1.PostTransferResponse_Ready{Ready: &xferv1.PostsReady{Transport: p.Transport}}}, nil
	}
	return &xferv1.PostTransferResponse{Event: &xferv1.PostTransferResponse_Posted{Posted: &xferv1.Posted{
		Sequence: p.Sequence, Generation: p.Generation, Digest: digestOut(p.Digest), Bytes: p.Bytes, Transport: p.Transport, Error: errorOut(p.Err),
	}}}, nil
}

// otherPosts are posts of a transfer of another node.
type otherPosts struct {
	ctx   context.Context
	owner transfer.NodeID
	up    grpc.BidiStreamingClient[xferv1.PostTransferRequest, xferv1.PostTransferResponse]
}

func (o *otherPosts) take(m *xferv1.PostTransferRequest) error {
	if err := o.up.Send(m); err != nil && !errors.Is(err, io.EOF) {
		return remoteError(o.ctx, o.owner, err)
	}
	return nil
}

func (o *otherPosts) end() error { return o.up.CloseSend() }

func (o *otherPosts) news() (*xferv1.PostTransferResponse, error) {
	m, err := o.up.Recv()
	if err != nil && err != io.EOF {
		err = remoteError(o.ctx, o.owner, err)
	}
	return m, err
}

func (s *transferService) FinishTransfer(ctx context.Context, req *xferv1.FinishTransferRequest) (*xferv1.FinishTransferResponse, error) {
	owner, id, err := parseName("name", req.GetName())
	if err != nil {
		return nil, err
	}
	if resp, err := elsewhere(s.Server, ctx, owner, xferv1.NewTransferServiceClient, xferv1.TransferServiceClient.FinishTransfer, req); resp != nil || err != nil {
		return resp, err
	}
	if _, err := s.visible(ctx, id); err != nil {
		return nil, err
	}
	t, err := s.cfg.Engine.FinishPosts(ctx, id)
	if err != nil {
		return nil, err
	}
	return &xferv1.FinishTransferResponse{Transfer: transferOut(&t, true)}, nil
}
