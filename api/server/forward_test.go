package server

import (
	"context"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/transfer"
)

// TestAnyNodeTakesAnyCall submits at a node that is neither source nor target.
func TestAnyNodeTakesAnyCall(t *testing.T) {
	c := newCluster(t, "n1", "n2", "n3")
	at := c.nodes["n3"]
	resp, err := at.transfers().SubmitTransfer(as(t, "ann"), submit("far"))
	if err != nil || resp.GetTransfer().GetPrincipal() != "ann" {
		t.Fatalf("%v, %v", resp, err)
	}
	if _, err := c.nodes["n1"].engine.Get(t.Context(), "far"); err != nil {
		t.Error("the owner does not have it")
	}
	if len(at.engine.all) != 0 {
		t.Error("the node that was asked keeps it")
	}
	_, err = at.transfers().GetTransfer(as(t, "bob"), &xferv1.GetTransferRequest{Name: "nodes/n1/transfers/far"})
	wantReason(t, "somebody else, from afar", err, transfer.TransferNotFound)
	if _, err := at.transfers().CancelTransfer(as(t, "root"), &xferv1.CancelTransferRequest{Name: "nodes/n1/transfers/far"}); err != nil {
		t.Errorf("an administrator, from afar: %v", err)
	}
	// What the owner answers arrives as it is.
	_, err = at.transfers().PauseTransfer(as(t, "ann"), &xferv1.PauseTransferRequest{Name: "nodes/n1/transfers/far"})
	wantReason(t, "an error from afar", err, transfer.AlreadyFinished)
	if info, _, _ := details(t, err); info.GetMetadata()["node"] != "n1" {
		t.Errorf("it does not say who answered: %v", info)
	}
	at.down["n1"] = true
	_, err = at.transfers().GetTransfer(as(t, "ann"), &xferv1.GetTransferRequest{Name: "nodes/n1/transfers/far"})
	wantReason(t, "an owner that is down", err, transfer.OwnerUnreachable)
	if _, retry, _ := details(t, err); retry == nil {
		t.Error("it does not say that a retry can help")
	}
}

// TestOneHop: a call that was forwarded is never forwarded again.
func TestOneHop(t *testing.T) {
	c := newCluster(t, "n1", "n2")
	ctx := metadata.AppendToOutgoingContext(as(t, "node"), forwardedByKey, "n9", principalKey, "ann")
	_, err := c.nodes["n1"].transfers().GetTransfer(ctx, &xferv1.GetTransferRequest{Name: "nodes/n2/transfers/x"})
	wantReason(t, "a second hop", err, transfer.OwnerUnreachable)
	_, err = c.nodes["n1"].transfers().ListTransfers(ctx, &xferv1.ListTransfersRequest{Parent: "nodes/-"})
	wantReason(t, "a fan-out behind a hop", err, transfer.PermissionDenied)
	w, err := c.nodes["n1"].transfers().WatchTransfers(ctx, &xferv1.WatchTransfersRequest{Parent: "nodes/-"})
	if err == nil {
		_, err = w.Recv()
	}
	wantReason(t, "a watch of all behind a hop", err, transfer.PermissionDenied)
	w, err = c.nodes["n1"].transfers().WatchTransfers(ctx, &xferv1.WatchTransfersRequest{Parent: "nodes/n2"})
	if err == nil {
		_, err = w.Recv()
	}
	wantReason(t, "a watch, second hop", err, transfer.OwnerUnreachable)
}

// TestP8OnlyNodesSpeakForOthers: the metadata of forwarded calls counts from
// nodes only.
func TestP8OnlyNodesSpeakForOthers(t *testing.T) {
	n := newCluster(t, "n1").nodes["n1"]
	n.engine.add("a", "ann")
	get := func(ctx context.Context) error {
		_, err := n.transfers().GetTransfer(ctx, &xferv1.GetTransferRequest{Name: "nodes/n1/transfers/a"})
		return err
	}
	wantReason(t, "nobody", get(t.Context()), transfer.Unauthenticated)
	wantReason(t, "twice", get(metadata.AppendToOutgoingContext(as(t, "ann"), "test-who", "root")), transfer.Unauthenticated)
	for _, who := range []string{"bob", "root"} {
		wantReason(t, who, get(metadata.AppendToOutgoingContext(as(t, who), forwardedByKey, "n2", principalKey, "ann")), transfer.PermissionDenied)
		wantReason(t, who, get(metadata.AppendToOutgoingContext(as(t, who), principalKey, "ann")), transfer.PermissionDenied)
	}
	for _, md := range [][]string{
		{forwardedByKey, "n2"}, {principalKey, "ann"},
		{forwardedByKey, "n2", principalKey, "ann", principalKey, "root"},
		{forwardedByKey, "not a node", principalKey, "ann"},
	} {
		wantReason(t, "half of it", get(metadata.AppendToOutgoingContext(as(t, "node"), md...)), transfer.PermissionDenied)
	}
	if err := get(metadata.AppendToOutgoingContext(as(t, "node"), forwardedByKey, "n2", principalKey, "ann")); err != nil {
		t.Errorf("a node for ann: %v", err)
	}
	wantReason(t, "a node for bob", get(metadata.AppendToOutgoingContext(as(t, "node"), forwardedByKey, "n2", principalKey, "bob")), transfer.TransferNotFound)
}

func TestPanicIsInternal(t *testing.T) {
	n := newCluster(t, "n1").nodes["n1"]
	n.engine.panics = true
	_, err := n.transfers().SubmitTransfer(as(t, "ann"), submit("x"))
	wantReason(t, "a panic", err, transfer.Internal)
	n.engine.panics = false
	if _, err := n.transfers().SubmitTransfer(as(t, "ann"), submit("x")); err != nil {
		t.Errorf("after a panic: %v", err)
	}
}

func TestUnknownMethodAndServices(t *testing.T) {
	c := newCluster(t, "n1", "n2")
	n := c.nodes["n1"]
	if err := n.conn.Invoke(as(t, "ann"), "/xfer.v1.TransferService/Explode", &xferv1.GetTransferRequest{}, &xferv1.Transfer{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("an unknown method: %v", err)
	}
	h, err := healthpb.NewHealthClient(n.conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: "xfer.v1.TransferService"})
	if err != nil || h.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v", h, err)
	}
	for id, want := range map[transfer.NodeID]codes.Code{"n1": codes.OK, "n2": codes.Unimplemented} { // n1 is made with Reflection
		ctx, cancel := context.WithCancel(t.Context())
		s, err := reflectionpb.NewServerReflectionClient(c.nodes[id].conn).ServerReflectionInfo(ctx)
		if err == nil {
			_ = s.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
			_, err = s.Recv()
		}
		if status.Code(err) != want {
			t.Errorf("reflection at %s: %v", id, err)
		}
		cancel()
	}
	long := metadata.AppendToOutgoingContext(as(t, "ann"), "x", strings.Repeat("a", 17<<10))
	if _, err := n.nodes().ListNodes(long, &xferv1.ListNodesRequest{}); err == nil {
		t.Error("17 KiB of metadata were taken")
	}
}

func TestNewRefusesWhatIsMissing(t *testing.T) {
	if _, err := New(Config{Self: "n1"}); err == nil {
		t.Error("a server without parts was made")
	}
	if _, err := New(Config{Self: "not a name"}); err == nil {
		t.Error("a server without a name was made")
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
		t.Fatal(err)
	}
}
