package client

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// postNode is a node with one prepared transfer.
type postNode struct {
	fakeNode
	finished chan struct{}

	postMu sync.Mutex
	opens  []error                                // of the streams, in order; then none
	answer func(n uint64) (*xferv1.Posted, error) // of the posts; an error ends the stream
	all    uint64                                 // posts that came
	spec   *xferv1.TransferSpec                   // that was submitted
}

func newPostNode(t *testing.T) (*postNode, *Client) {
	n := &postNode{finished: make(chan struct{})}
	n.submit = func(r *xferv1.SubmitTransferRequest) (*xferv1.SubmitTransferResponse, error) {
		n.spec = r.GetSpec()
		return &xferv1.SubmitTransferResponse{Transfer: someTransfer(r.GetTransferId(), xferv1.State_STATE_QUEUED)}, nil
	}
	n.wait = func(r *xferv1.WaitTransferRequest) (*xferv1.WaitTransferResponse, error) {
		return &xferv1.WaitTransferResponse{Transfer: &xferv1.Transfer{Name: r.GetName(), State: xferv1.State_STATE_SUCCEEDED}}, nil
	}
	n.answer = func(i uint64) (*xferv1.Posted, error) {
		return &xferv1.Posted{Generation: 100 + i, Bytes: 1, Transport: "tcp"}, nil
	}
	return n, n.dialPosts(t)
}

func (n *postNode) dialPosts(t *testing.T) *Client {
	n.fakeNode.posts = n
	return n.fakeNode.dial(t, Options{Patience: 5 * time.Second})
}

func (n *postNode) take(s grpc.BidiStreamingServer[xferv1.PostTransferRequest, xferv1.PostTransferResponse]) error {
	m, err := s.Recv()
	if err != nil {
		return err
	}
	n.postMu.Lock()
	if len(n.opens) > 0 {
		err, n.opens = n.opens[0], n.opens[1:]
	}
	n.postMu.Unlock()
	if err != nil || m.GetName() == "" {
		return err
	}
	if err := s.Send(&xferv1.PostTransferResponse{Event: &xferv1.PostTransferResponse_Ready{Ready: &xferv1.PostsReady{Transport: "rdma"}}}); err != nil {
		return err
	}
	for {
		m, err := s.Recv()
		if err != nil {
			return nil
		}
		n.postMu.Lock()
		n.all++
		a, err := n.answer(n.all)
		n.postMu.Unlock()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if a == nil {
			continue // no answer comes
		}
		a.Sequence = m.GetSequence()
		if err := s.Send(&xferv1.PostTransferResponse{Event: &xferv1.PostTransferResponse_Posted{Posted: a}}); err != nil {
			return err
		}
	}
}

func (n *postNode) finish() { close(n.finished) }

// A prepared transfer is posted, and finished by Close.
func TestPrepared(t *testing.T) {
	n, c := newPostNode(t)
	ctx := t.Context()
	p, err := c.Prepare(ctx, &xferv1.TransferSpec{SourceNode: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	if !n.spec.GetPrepared() || p.Transport() != "rdma" || p.Last() != nil {
		t.Errorf("submitted %v, by %q, last %v", n.spec, p.Transport(), p.Last())
	}
	for i := range uint64(3) {
		if g, err := p.Post(ctx); err != nil || g != 101+i {
			t.Errorf("post %d: %d, %v", i, g, err)
		}
	}
	if p.Last().GetBytes() != 1 || p.Transport() != "tcp" {
		t.Errorf("last %v, by %q", p.Last(), p.Transport())
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	<-n.finished
	if _, err := p.Post(ctx); ReasonOf(err) != "ALREADY_FINISHED" {
		t.Errorf("after Close: %v", err)
	}
}

// What passes is tried again, and posted again; what does not is told.
func TestPreparedOverStreamsThatEnd(t *testing.T) {
	n, c := newPostNode(t)
	ctx := t.Context()
	stopping, busy := failure(xferv1.Reason_REASON_NODE_STOPPING), failure(xferv1.Reason_REASON_POSTS_BUSY)
	n.opens = []error{stopping, nil, busy}
	p, err := c.OpenPrepared(ctx, Name("n1", "a"))
	if err != nil {
		t.Fatal(err)
	}
	n.answer = func(i uint64) (*xferv1.Posted, error) {
		switch i {
		case 1:
			return nil, stopping
		case 3:
			return &xferv1.Posted{Error: &xferv1.Error{Reason: "SOURCE_IO_ERROR", Message: "gone"}}, nil
		case 5:
			return nil, failure(xferv1.Reason_REASON_CANCELLED)
		case 6:
			return nil, io.EOF
		}
		return &xferv1.Posted{Generation: i}, nil
	}
	if g, err := p.Post(ctx); err != nil || g != 2 {
		t.Errorf("over a node that stops: %d, %v", g, err)
	}
	if _, err := p.Post(ctx); ReasonOf(err) != "SOURCE_IO_ERROR" {
		t.Errorf("a post that fails: %v", err)
	}
	if g, err := p.Post(ctx); err != nil || g != 4 {
		t.Errorf("the one after it: %d, %v", g, err)
	}
	if _, err := p.Post(ctx); ReasonOf(err) != "CANCELLED" {
		t.Errorf("a transfer that was cancelled: %v", err)
	}
	if _, err := p.Post(ctx); ReasonOf(err) != "ALREADY_FINISHED" {
		t.Errorf("a transfer that was finished: %v", err)
	}
	p.Leave()
}

// The end of the context ends a post, and the next one begins anew.
func TestPreparedContext(t *testing.T) {
	n, c := newPostNode(t)
	p, err := c.OpenPrepared(t.Context(), Name("n1", "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Leave()
	came := make(chan struct{}, 9)
	n.answer = func(i uint64) (*xferv1.Posted, error) {
		came <- struct{}{}
		if i == 1 {
			return nil, nil
		}
		return &xferv1.Posted{Generation: i}, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-came
		cancel()
	}()
	if _, err := p.Post(ctx); err == nil {
		t.Error("it was answered")
	}
	if g, err := p.Post(t.Context()); err != nil || g != 2 {
		t.Errorf("%d, %v", g, err)
	}
}

// A transfer whose data path never stands is cancelled.
func TestPrepareThatFails(t *testing.T) {
	n, c := newPostNode(t)
	n.opens = []error{failure(xferv1.Reason_REASON_REGION_RANGE)}
	if _, err := c.Prepare(t.Context(), &xferv1.TransferSpec{}); ReasonOf(err) != "REGION_RANGE" {
		t.Errorf("%v", err)
	}
	if got := len(n.cancelled); got != 1 {
		t.Errorf("cancelled %d times", got)
	}
}
