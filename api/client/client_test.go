package client

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/test/bubble"
)

var errDown = status.Error(codes.Unavailable, "connection refused")

// TestSubmitIsRepeatedWithItsID: an answer that was lost does not make a second
// transfer.
func TestSubmitIsRepeatedWithItsID(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		f := &fakeNode{}
		f.submit = func(r *xferv1.SubmitTransferRequest) (*xferv1.SubmitTransferResponse, error) {
			if len(f.calls) < 3 {
				return nil, errDown
			}
			return &xferv1.SubmitTransferResponse{Transfer: someTransfer(r.GetTransferId(), xferv1.State_STATE_QUEUED), AlreadyExisted: true}, nil
		}
		got, err := f.dial(t, Options{}).Submit(t.Context(), "", Copy("n1", "/a", "n2", "/b"))
		if err != nil || !got.AlreadyExisted {
			t.Fatalf("%v, %v", got, err)
		}
		first := f.calls[0].(*xferv1.SubmitTransferRequest).GetTransferId()
		for _, c := range f.calls {
			if id := c.(*xferv1.SubmitTransferRequest).GetTransferId(); id == "" || id != first {
				t.Errorf("submitted as %q and %q", first, id)
			}
		}
	})
}

func TestWhatIsNotRepeated(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		for reason, want := range map[xferv1.Reason]int{
			xferv1.Reason_REASON_INVALID_SPEC:      1,
			xferv1.Reason_REASON_NODE_DRAINING:     1,
			xferv1.Reason_REASON_QUEUE_FULL:        1,
			xferv1.Reason_REASON_OWNER_UNREACHABLE: tries,
		} {
			f := &fakeNode{submit: func(*xferv1.SubmitTransferRequest) (*xferv1.SubmitTransferResponse, error) {
				return nil, failure(reason)
			}}
			_, err := f.dial(t, Options{}).Submit(t.Context(), "x", Copy("n1", "/a", "n2", "/b"))
			if ReasonOf(err) != reason.Name() || len(f.calls) != want {
				t.Errorf("%s: %v after %d calls", reason, err, len(f.calls))
			}
		}
	})
}

func TestWait(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		f := &fakeNode{}
		f.wait = func(*xferv1.WaitTransferRequest) (*xferv1.WaitTransferResponse, error) {
			switch len(f.calls) {
			case 1, 2:
				return &xferv1.WaitTransferResponse{Transfer: someTransfer("x", xferv1.State_STATE_RUNNING)}, nil
			case 3, 4, 5, 6:
				return nil, errDown
			case 7:
				return nil, failure(xferv1.Reason_REASON_NODE_STOPPING)
			}
			return &xferv1.WaitTransferResponse{Transfer: someTransfer("x", xferv1.State_STATE_FAILED)}, nil
		}
		got, err := f.dial(t, Options{}).Wait(t.Context(), Name("n1", "x"))
		if err != nil || got.GetState() != xferv1.State_STATE_FAILED || len(f.calls) != 8 {
			t.Errorf("%v, %v after %d calls", got, err, len(f.calls))
		}
	})
}

func TestWaitGivesUp(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		f := &fakeNode{wait: func(*xferv1.WaitTransferRequest) (*xferv1.WaitTransferResponse, error) { return nil, errDown }}
		start := time.Now()
		_, err := f.dial(t, Options{}).Wait(t.Context(), Name("n1", "x"))
		if d := time.Since(start); ExitCode(err) != 10 || d < 50*time.Second || d > 65*time.Second {
			t.Errorf("%v after %s", err, d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start = time.Now()
		_, err = f.dial(t, Options{Patience: -1}).Wait(ctx, Name("n1", "x"))
		if d := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || d != time.Hour {
			t.Errorf("with all patience: %v after %s", err, d)
		}
		f.wait = func(*xferv1.WaitTransferRequest) (*xferv1.WaitTransferResponse, error) {
			return nil, failure(xferv1.Reason_REASON_TRANSFER_NOT_FOUND)
		}
		if _, err := f.dial(t, Options{}).Wait(t.Context(), Name("n1", "x")); ExitCode(err) != 3 {
			t.Errorf("of none: %v", err)
		}
	})
}

// The server's timer of a deadline can go off before ours.
func TestDeadlineThatTheServerSawFirst(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		reset := status.Error(codes.Canceled, "stream terminated by RST_STREAM with error code: CANCEL")
		f := &fakeNode{wait: func(*xferv1.WaitTransferRequest) (*xferv1.WaitTransferResponse, error) {
			time.Sleep(199 * time.Millisecond)
			return nil, reset
		}}
		c := f.dial(t, Options{})
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if _, err := c.WaitFor(ctx, Name("n1", "x"), time.Second); AsError(err).Code != codes.DeadlineExceeded || ctx.Err() == nil {
			t.Errorf("%v, of a context that is %v", err, ctx.Err())
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := c.WaitFor(ctx, Name("n1", "x"), time.Second); AsError(err).Code != codes.Canceled || ctx.Err() != nil {
			t.Errorf("far from the deadline: %v, of a context that is %v", err, ctx.Err())
		}
	})
}

func TestList(t *testing.T) {
	f := &fakeNode{list: func(r *xferv1.ListTransfersRequest) (*xferv1.ListTransfersResponse, error) {
		if r.GetParent() != AllNodes || r.GetFilter().GetPrincipal() != "ann" {
			return nil, fmt.Errorf("asked for %v", r)
		}
		if r.GetPageToken() == "" {
			return &xferv1.ListTransfersResponse{Transfers: []*xferv1.Transfer{someTransfer("a", 1)}, NextPageToken: "2", Unreachable: []string{"n3"}}, nil
		}
		return &xferv1.ListTransfersResponse{Transfers: []*xferv1.Transfer{someTransfer("b", 1)}, WatchToken: "w"}, nil
	}}
	l, err := f.dial(t, Options{}).List(t.Context(), &xferv1.ListTransfersRequest{Parent: AllNodes, Filter: &xferv1.TransferFilter{Principal: "ann"}})
	if err != nil || len(l.Transfers) != 2 || len(l.Unreachable) != 1 || l.WatchToken != "w" {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestFiles(t *testing.T) {
	f := &fakeNode{files: func(r *xferv1.ListFilesRequest) (*xferv1.ListFilesResponse, error) {
		if string(r.GetPath()) == "/none" {
			return nil, failure(xferv1.Reason_REASON_SOURCE_NOT_FOUND)
		}
		n := len(r.GetPageToken())
		return &xferv1.ListFilesResponse{Files: []*xferv1.File{{Size: int64(n)}}, NextPageToken: "aaa"[:min(n+1, 3)]}, nil
	}}
	c := f.dial(t, Options{})
	var sizes []int64
	for file, err := range c.Files(t.Context(), "n1", "/data") {
		if err != nil {
			t.Fatal(err)
		}
		if sizes = append(sizes, file.GetSize()); len(sizes) == 3 {
			break
		}
	}
	if fmt.Sprint(sizes) != "[0 1 2]" || len(f.calls) != 3 {
		t.Errorf("%v in %d calls", sizes, len(f.calls))
	}
	for file, err := range c.Files(t.Context(), "n1", "/none") {
		if file != nil || ExitCode(err) != 3 {
			t.Errorf("%v, %v", file, err)
		}
	}
}

func TestUpdateMask(t *testing.T) {
	f := &fakeNode{update: func(r *xferv1.UpdateTransferRequest) (*xferv1.UpdateTransferResponse, error) {
		return &xferv1.UpdateTransferResponse{Transfer: r.GetTransfer()}, nil
	}}
	got, err := f.dial(t, Options{}).Update(t.Context(), Name("n1", "x"), Change{MaxBytesPerSecond: new(int64(0)), Deadline: new(time.Time{}), Priority: new(xferv1.Priority_PRIORITY_HIGH)})
	mask := f.calls[0].(*xferv1.UpdateTransferRequest).GetUpdateMask().GetPaths()
	if err != nil || len(mask) != 3 || got.GetSpec().MaxBytesPerSecond != nil || got.GetSpec().Deadline != nil || got.GetSpec().GetPriority() != xferv1.Priority_PRIORITY_HIGH {
		t.Errorf("%v, %v, %v", got, mask, err)
	}
}

// TestWatch goes through breaks, a token that is too old, and the end.
func TestWatch(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		news := func(s grpc.ServerStreamingServer[xferv1.WatchTransfersResponse], id, token string) error {
			return s.Send(&xferv1.WatchTransfersResponse{Event: &xferv1.WatchTransfersResponse_Transfer{Transfer: someTransfer(id, 1)}, WatchToken: token})
		}
		f := &fakeNode{}
		f.watch = func(r *xferv1.WatchTransfersRequest, s grpc.ServerStreamingServer[xferv1.WatchTransfersResponse]) error {
			switch len(f.calls) {
			case 1:
				_ = news(s, "a", "t1")
				_ = news(s, "b", "")
				_ = s.Send(&xferv1.WatchTransfersResponse{WatchToken: "t2"}) // a sign of life
				return errDown
			case 2:
				return errDown
			case 3:
				_ = news(s, "c", "t3")
				return failure(xferv1.Reason_REASON_SLOW_CONSUMER)
			case 4:
				return failure(xferv1.Reason_REASON_COMPACTED)
			case 5:
				_ = s.Send(&xferv1.WatchTransfersResponse{Event: &xferv1.WatchTransfersResponse_CaughtUp{CaughtUp: &xferv1.CaughtUp{}}, WatchToken: "t5"})
				return failure(xferv1.Reason_REASON_PERMISSION_DENIED)
			}
			return errDown
		}
		var heard []string
		lost := 0
		for e, err := range f.dial(t, Options{}).Watch(t.Context(), WatchOptions{Token: "t0", Lost: func(error) { lost++ }}) {
			switch {
			case err != nil:
				heard = append(heard, ReasonOf(err))
			case e.CaughtUp:
				heard = append(heard, "caught up "+e.Token)
			default:
				heard = append(heard, e.Transfer.GetName()[len("nodes/n1/transfers/"):]+e.Token)
			}
		}
		if fmt.Sprint(heard) != "[at1 b ct3 caught up t5 PERMISSION_DENIED]" {
			t.Errorf("heard %v", heard)
		}
		var tokens []string
		for _, c := range f.calls {
			tokens = append(tokens, c.(*xferv1.WatchTransfersRequest).GetWatchToken())
		}
		if fmt.Sprintf("%q", tokens) != `["t0" "t2" "t2" "t3" ""]` {
			t.Errorf("resumed from %q", tokens)
		}
		if lost != 3 {
			t.Errorf("%d breaks were told", lost)
		}
	})
}

// TestLeavingAWatchEndsIt at the node too.
func TestLeavingAWatchEndsIt(t *testing.T) {
	ended := make(chan struct{}, 2)
	f := &fakeNode{
		watch: func(_ *xferv1.WatchTransfersRequest, s grpc.ServerStreamingServer[xferv1.WatchTransfersResponse]) error {
			_ = s.Send(&xferv1.WatchTransfersResponse{Event: &xferv1.WatchTransfersResponse_CaughtUp{CaughtUp: &xferv1.CaughtUp{}}})
			<-s.Context().Done()
			ended <- struct{}{}
			return s.Context().Err()
		},
		nodes: func(_ *xferv1.WatchNodesRequest, s grpc.ServerStreamingServer[xferv1.WatchNodesResponse]) error {
			_ = s.Send(&xferv1.WatchNodesResponse{Node: &xferv1.Node{Name: "nodes/n1"}})
			<-s.Context().Done()
			ended <- struct{}{}
			return s.Context().Err()
		},
	}
	c := f.dial(t, Options{})
	for range c.Watch(t.Context(), WatchOptions{}) {
		break
	}
	<-ended
	for n, err := range c.WatchNodes(t.Context()) {
		if err != nil || n.GetName() != "nodes/n1" {
			t.Errorf("%v, %v", n, err)
		}
		break
	}
	<-ended
}
