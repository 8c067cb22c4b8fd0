package server

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"

	"google.golang.org/grpc"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

// fakePosting answers every post at once with a generation that rises.
type fakePosting struct {
	postMu   sync.Mutex
	stream   *fakePosts
	finished chan struct{} // closed by FinishPosts
}

type fakePosts struct {
	e          *fakePosting
	news       chan transfer.PostNews
	ended      chan struct{}
	generation uint64
	limit      int
}

func (e *fakePosting) OpenPosts(_ context.Context, id string) (PostStream, error) {
	e.postMu.Lock()
	defer e.postMu.Unlock()
	switch {
	case id == "plain":
		return nil, &transfer.Error{Reason: transfer.BadState, Err: fmt.Errorf("it is not prepared")}
	case e.stream != nil:
		return nil, &transfer.Error{Reason: transfer.PostsBusy, Err: fmt.Errorf("another one posts")}
	}
	e.stream = &fakePosts{e: e, news: make(chan transfer.PostNews, 64), ended: make(chan struct{}), limit: 40}
	e.finished = make(chan struct{})
	e.stream.news <- transfer.PostNews{Ready: true, Posted: transfer.Posted{Transport: "tcp"}}
	return e.stream, nil
}

func (e *fakePosting) FinishPosts(_ context.Context, id string) (transfer.Transfer, error) {
	e.postMu.Lock()
	defer e.postMu.Unlock()
	if e.finished != nil {
		close(e.finished)
	}
	return transfer.Transfer{Owner: "n1", ID: id, State: transfer.StateRunning}, nil
}

func (p *fakePosts) Post(sequence uint64) error {
	if p.limit--; p.limit < 0 {
		return &transfer.Error{Reason: transfer.PostsLimit, Err: fmt.Errorf("too many")}
	}
	p.generation++
	n := transfer.PostNews{Posted: transfer.Posted{Sequence: sequence, Generation: p.generation, Bytes: 4096, Transport: "tcp", Digest: [16]byte{1}}}
	if sequence == 13 {
		n.Posted.Err = &transfer.Error{Reason: transfer.SourceIOError, Err: fmt.Errorf("gone")}
	}
	p.news <- n
	return nil
}

func (p *fakePosts) End() { close(p.ended) }

func (p *fakePosts) Next(ctx context.Context) (transfer.PostNews, error) {
	select {
	case n := <-p.news:
		return n, nil
	default:
	}
	select {
	case n := <-p.news:
		return n, nil
	case <-p.ended:
	case <-p.e.finished:
	case <-ctx.Done():
		return transfer.PostNews{}, ctx.Err()
	}
	select {
	case n := <-p.news:
		return n, nil
	default:
		return transfer.PostNews{}, io.EOF
	}
}

func (p *fakePosts) Close() error {
	p.e.postMu.Lock()
	defer p.e.postMu.Unlock()
	p.e.stream = nil
	return nil
}

type postCall = grpc.BidiStreamingClient[xferv1.PostTransferRequest, xferv1.PostTransferResponse]

// openPosts calls, and returns what the first news are, or the error.
func openPosts(ctx context.Context, n *fakeNode, first *xferv1.PostTransferRequest) (postCall, error) {
	call, err := n.transfers().PostTransfer(ctx)
	if err == nil {
		err = call.Send(first)
	}
	if err != nil {
		return nil, err
	}
	m, err := call.Recv()
	if err == nil && m.GetReady().GetTransport() != "tcp" {
		err = fmt.Errorf("the first news are %v", m)
	}
	return call, err
}

// Posts go to the owner, from any node, and are answered in order; after the caller
// sent its last what was posted is still answered.
func TestPostTransfer(t *testing.T) {
	for _, at := range []transfer.NodeID{"n1", "n2"} {
		t.Run("at "+string(at), func(t *testing.T) {
			c := newCluster(t, "n1", "n2")
			c.nodes["n1"].engine.add("p", "ann")
			name := "nodes/n1/transfers/p"
			call, err := openPosts(as(t, "ann"), c.nodes[at], &xferv1.PostTransferRequest{Name: name})
			if err != nil {
				t.Fatal(err)
			}
			_, err = openPosts(as(t, "ann"), c.nodes[at], &xferv1.PostTransferRequest{Name: name})
			wantReason(t, "a second stream", err, transfer.PostsBusy)
			for n := range uint64(20) {
				if err := call.Send(&xferv1.PostTransferRequest{Sequence: n}); err != nil {
					t.Fatal(err)
				}
			}
			if err := call.CloseSend(); err != nil {
				t.Fatal(err)
			}
			for n := range uint64(20) {
				m, err := call.Recv()
				if err != nil {
					t.Fatal(err)
				}
				p := m.GetPosted()
				if p.GetSequence() != n || p.GetGeneration() != n+1 || p.GetBytes() != 4096 || len(p.GetDigest()) != 16 || (p.GetError().GetReason() == "SOURCE_IO_ERROR") != (n == 13) {
					t.Errorf("post %d: %v", n, p)
				}
			}
			if _, err := call.Recv(); err != io.EOF {
				t.Errorf("the end is %v", err)
			}
		})
	}
}

func TestPostTransferRefusals(t *testing.T) {
	n := newCluster(t, "n1").nodes["n1"]
	n.engine.add("p", "ann")
	n.engine.add("plain", "ann")
	for _, tt := range []struct {
		what, who string
		first     *xferv1.PostTransferRequest
		want      transfer.Reason
	}{
		{"no name", "ann", &xferv1.PostTransferRequest{}, transfer.InvalidSpec},
		{"a post at once", "ann", &xferv1.PostTransferRequest{Name: "nodes/n1/transfers/p", Sequence: 1}, transfer.InvalidSpec},
		{"one of somebody else", "bob", &xferv1.PostTransferRequest{Name: "nodes/n1/transfers/p"}, transfer.TransferNotFound},
		{"one that is not prepared", "ann", &xferv1.PostTransferRequest{Name: "nodes/n1/transfers/plain"}, transfer.BadState},
		{"an unknown node", "ann", &xferv1.PostTransferRequest{Name: "nodes/n9/transfers/p"}, transfer.NodeUnknown},
	} {
		_, err := openPosts(as(t, tt.who), n, tt.first)
		wantReason(t, tt.what, err, tt.want)
	}
	call, err := openPosts(as(t, "ann"), n, &xferv1.PostTransferRequest{Name: "nodes/n1/transfers/p"})
	if err != nil {
		t.Fatal(err)
	}
	_ = call.Send(&xferv1.PostTransferRequest{Name: "nodes/n1/transfers/p"})
	_, err = call.Recv()
	wantReason(t, "a name once more", err, transfer.InvalidSpec)
	if call, err = openPosts(as(t, "ann"), n, &xferv1.PostTransferRequest{Name: "nodes/n1/transfers/p"}); err != nil {
		t.Fatal(err)
	}
	for range 41 {
		_ = call.Send(&xferv1.PostTransferRequest{})
	}
	for err = nil; err == nil; {
		_, err = call.Recv()
	}
	wantReason(t, "too many", err, transfer.PostsLimit)
}

// A finish ends the stream well, and the end of the node with its reason.
func TestPostTransferEnds(t *testing.T) {
	n := newCluster(t, "n1").nodes["n1"]
	n.engine.add("p", "ann")
	open := func() postCall {
		call, err := openPosts(as(t, "ann"), n, &xferv1.PostTransferRequest{Name: "nodes/n1/transfers/p"})
		if err != nil {
			t.Fatal(err)
		}
		return call
	}
	call := open()
	_ = call.Send(&xferv1.PostTransferRequest{Sequence: 5})
	_ = call.Send(&xferv1.PostTransferRequest{Finish: true})
	if m, err := call.Recv(); err != nil || m.GetPosted().GetSequence() != 5 {
		t.Errorf("%v, %v", m, err)
	}
	if _, err := call.Recv(); err != io.EOF {
		t.Errorf("the end is %v", err)
	}
	if resp, err := n.transfers().FinishTransfer(as(t, "ann"), &xferv1.FinishTransferRequest{Name: "nodes/n1/transfers/q"}); err == nil {
		t.Errorf("one that is not there is finished: %v", resp)
	}
	call = open()
	_ = n.server.Close()
	_, err := call.Recv()
	wantReason(t, "the node stops", err, transfer.NodeStopping)
}
