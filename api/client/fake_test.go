package client

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeNode answers as a test tells it to.
type fakeNode struct {
	xferv1.UnimplementedTransferServiceServer
	xferv1.UnimplementedNodeServiceServer

	mu     sync.Mutex
	calls  []any // every request
	submit func(*xferv1.SubmitTransferRequest) (*xferv1.SubmitTransferResponse, error)
	wait   func(*xferv1.WaitTransferRequest) (*xferv1.WaitTransferResponse, error)
	list   func(*xferv1.ListTransfersRequest) (*xferv1.ListTransfersResponse, error)
	watch  func(*xferv1.WatchTransfersRequest, grpc.ServerStreamingServer[xferv1.WatchTransfersResponse]) error
	update func(*xferv1.UpdateTransferRequest) (*xferv1.UpdateTransferResponse, error)
	files  func(*xferv1.ListFilesRequest) (*xferv1.ListFilesResponse, error)
	nodes  func(*xferv1.WatchNodesRequest, grpc.ServerStreamingServer[xferv1.WatchNodesResponse]) error
	posts  *postNode

	cancelled []string // names
}

func (f *fakeNode) PostTransfer(s grpc.BidiStreamingServer[xferv1.PostTransferRequest, xferv1.PostTransferResponse]) error {
	return f.posts.take(s)
}

func (f *fakeNode) FinishTransfer(_ context.Context, r *xferv1.FinishTransferRequest) (*xferv1.FinishTransferResponse, error) {
	f.posts.finish()
	return &xferv1.FinishTransferResponse{}, nil
}

func (f *fakeNode) CancelTransfer(_ context.Context, r *xferv1.CancelTransferRequest) (*xferv1.CancelTransferResponse, error) {
	f.cancelled = append(f.cancelled, r.GetName())
	return &xferv1.CancelTransferResponse{}, nil
}

func (f *fakeNode) note(req any) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, req)
	return len(f.calls)
}

func (f *fakeNode) SubmitTransfer(_ context.Context, r *xferv1.SubmitTransferRequest) (*xferv1.SubmitTransferResponse, error) {
	f.note(r)
	return f.submit(r)
}

func (f *fakeNode) WaitTransfer(_ context.Context, r *xferv1.WaitTransferRequest) (*xferv1.WaitTransferResponse, error) {
	f.note(r)
	return f.wait(r)
}

func (f *fakeNode) ListTransfers(_ context.Context, r *xferv1.ListTransfersRequest) (*xferv1.ListTransfersResponse, error) {
	f.note(r)
	return f.list(r)
}

func (f *fakeNode) UpdateTransfer(_ context.Context, r *xferv1.UpdateTransferRequest) (*xferv1.UpdateTransferResponse, error) {
	f.note(r)
	return f.update(r)
}

func (f *fakeNode) WatchTransfers(r *xferv1.WatchTransfersRequest, s grpc.ServerStreamingServer[xferv1.WatchTransfersResponse]) error {
	f.note(r)
	return f.watch(r, s)
}

func (f *fakeNode) ListFiles(_ context.Context, r *xferv1.ListFilesRequest) (*xferv1.ListFilesResponse, error) {
	f.note(r)
	return f.files(r)
}

func (f *fakeNode) WatchNodes(r *xferv1.WatchNodesRequest, s grpc.ServerStreamingServer[xferv1.WatchNodesResponse]) error {
	f.note(r)
	return f.nodes(r, s)
}

// dial serves the node and returns a client of it.
func (f *fakeNode) dial(t *testing.T, o Options) *Client {
	t.Helper()
	lis := bufconn.Listen(1 << 16)
	g := grpc.NewServer()
	xferv1.RegisterTransferServiceServer(g, f)
	xferv1.RegisterNodeServiceServer(g, f)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = g.Serve(lis)
	}()
	o.Extra = append(o.Extra, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	c, err := Dial("127.0.0.1:1", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		g.Stop()
		<-served
	})
	return c
}

// failure is a status as a node makes it.
func failure(reason xferv1.Reason) error {
	info := reason.Info()
	st := status.New(codes.Code(info.GetStatusCode()), "it failed")
	details := []*errdetails.ErrorInfo{{Reason: reason.Name(), Domain: "xferd", Metadata: map[string]string{
		"side": "owner", "phase": "submit", "node": "n1", "path": "/data", "hint": "wait",
	}}}
	st, _ = st.WithDetails(details[0])
	if info.GetRetryable() {
		st, _ = st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(2 * time.Second)})
	}
	return st.Err()
}

func someTransfer(id string, s xferv1.State) *xferv1.Transfer {
	return &xferv1.Transfer{Name: Name("n1", id), State: s}
}
