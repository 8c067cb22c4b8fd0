package peer

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/xferd/xferd/transfer"
)

func TestHelloRefusals(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	otherCluster := startNode(t, "n2", "other", "", echo(nil))
	otherNode := startNode(t, "n3", "c", "", echo(nil))
	// An old node that takes callers of any cluster.
	lax := startNode(t, "n2", "c", "", echo(nil))
	lax.Self.Cluster = "other"
	deny := startNode(t, "n2", "c", "", echo(nil))
	deny.Authorise = func(context.Context) error { return status.Error(codes.PermissionDenied, "not you") }

	tests := []struct {
		name, addr string
		reason     transfer.Reason
		text, hint string
	}{
		{"nobody there", closed.Addr().String(), transfer.PeerUnreachable, "refused", "is xferd running"},
		{"other cluster", otherCluster.addr, transfer.PeerUnreachable, `node n2 is of cluster "other", not "c"`, "one cluster"},
		{"other cluster, lax", lax.addr, transfer.PeerUnreachable, `of cluster "other"`, "one cluster"},
		{"other node", otherNode.addr, transfer.PeerUnreachable, `the node there calls itself "n3"`, ""},
		{"not let in", deny.addr, transfer.PermissionDenied, "not you", "does not let this one in"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			d := dialerTo(t, at(c.addr))
			for range 2 { // a refusal is not remembered as a success
				l, err := d.OpenTarget(t.Context(), "n2")
				if err == nil {
					_ = l.Close()
					t.Fatal("the edge was opened")
				}
				wantReason(t, err, c.reason)
				if !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), c.hint) {
					t.Errorf("error %v, want %q and %q", err, c.text, c.hint)
				}
				if !strings.Contains(err.Error(), c.addr) {
					t.Errorf("the address is not in it: %v", err)
				}
			}
			if c.reason != transfer.PeerUnreachable {
				return
			}
			if _, err := d.Conn(t.Context(), "n2"); transfer.ReasonOf(err) != transfer.OwnerUnreachable {
				t.Errorf("Conn: %v", err)
			}
		})
	}
}

func TestLookupFails(t *testing.T) {
	want := &transfer.Error{Reason: transfer.NodeUnknown, Side: transfer.SideTarget, Node: "n2"}
	d := &Dialer{Self: identity("n1", "c"), Lookup: func(transfer.NodeID) (Address, error) { return Address{}, want }}
	if _, err := d.OpenTarget(t.Context(), "n2"); !errors.Is(err, want) {
		t.Errorf("error %v", err)
	}
	_, err := d.Conn(t.Context(), "n2")
	if e, ok := errors.AsType[*transfer.Error](err); !ok || e.Reason != want.Reason || e.Side != transfer.SideOwner || e.Node != "n2" {
		t.Errorf("error %v", err)
	}
	if want.Side != transfer.SideTarget {
		t.Error("the error of the lookup was changed")
	}
}

func TestOneConnection(t *testing.T) {
	n := startNode(t, "n2", "c", "", echo(make(chan transfer.ToTarget, 10)))
	d := dialerTo(t, at(n.addr))
	ping(t, openEdge(t, t.Context(), d))
	// gRPC calls the connection ready a moment after it was used first.
	cc := d.conns["n2"].cc
	for state := cc.GetState(); state != connectivity.Ready; state = cc.GetState() {
		cc.WaitForStateChange(t.Context(), state)
	}
	for range 2 {
		ping(t, openEdge(t, t.Context(), d))
	}
	if _, err := d.Conn(t.Context(), "n2"); err != nil {
		t.Fatal(err)
	}
	if c, h := n.conns.Load(), n.hellos.Load(); c != 1 || h != 1 {
		t.Errorf("%d connections and %d hellos", c, h)
	}
}

// After a restart the node may have another address and is asked anew; edges to
// its former life are lost.
func TestNewInstance(t *testing.T) {
	for _, sameAddr := range []bool{true, false} {
		var now atomic.Pointer[Address]
		first := startNode(t, "n2", "c", "", echo(make(chan transfer.ToTarget, 10)))
		now.Store(&Address{first.addr, "1"})
		d := dialerTo(t, func() Address { return *now.Load() })
		old := openEdge(t, t.Context(), d)
		ping(t, old)

		second := first
		if !sameAddr {
			second = startNode(t, "n2", "c", "", echo(make(chan transfer.ToTarget, 10)))
		}
		now.Store(&Address{second.addr, "2"})
		ping(t, openEdge(t, t.Context(), d))
		_, err := old.Recv(t.Context())
		wantReason(t, err, transfer.PeerLost)
		if total := first.hellos.Load() + second.hellos.Load(); sameAddr && total != 4 || !sameAddr && (first.hellos.Load() != 1 || second.hellos.Load() != 1) {
			t.Errorf("%d and %d hellos", first.hellos.Load(), second.hellos.Load())
		}
	}
}

// gRPC connects again by itself. Another node that got the address before this
// one knows must not get the edge.
func TestHelloOnEveryConnection(t *testing.T) {
	first := startNode(t, "n2", "c", "", echo(make(chan transfer.ToTarget, 10)))
	d := dialerTo(t, at(first.addr))
	old := openEdge(t, t.Context(), d)
	ping(t, old)
	first.grpc.Stop()
	_, err := old.Recv(t.Context())
	wantReason(t, err, transfer.PeerLost)

	opened := make(chan transfer.ToTarget, 10)
	imposter := startNode(t, "n3", "c", first.addr, echo(opened))
	for range 3 {
		_, err = d.OpenTarget(t.Context(), "n2")
		wantReason(t, err, transfer.PeerUnreachable)
	}
	if len(opened) > 0 {
		t.Errorf("the wrong node was sent %T", <-opened)
	}
	imposter.grpc.Stop()

	again := startNode(t, "n2", "c", first.addr, echo(make(chan transfer.ToTarget, 10)))
	ping(t, openEdge(t, t.Context(), d))
	if again.hellos.Load() != 1 {
		t.Errorf("%d hellos", again.hellos.Load())
	}
}

// A node that is back is found by the first attempt: gRPC's error of the attempt
// before, which it repeats during its back-off, is none of this one.
func TestNodeIsBack(t *testing.T) {
	n := startNode(t, "n2", "c", "", echo(nil))
	n.grpc.Stop()
	d := dialerTo(t, at(n.addr))
	for range 10 {
		_, err := d.OpenTarget(t.Context(), "n2")
		wantReason(t, err, transfer.PeerUnreachable)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("error %v", err)
		}
	}
	startNode(t, "n2", "c", n.addr, echo(make(chan transfer.ToTarget, 10)))
	ping(t, openEdge(t, t.Context(), d))
}

// Who waits for another's Hello need not wait for its end.
func TestHelloEndsWithContext(t *testing.T) {
	asked, answer := make(chan struct{}, 2), make(chan struct{})
	n := startNode(t, "n2", "c", "", echo(nil))
	n.Authorise = func(context.Context) error {
		asked <- struct{}{}
		<-answer
		return nil
	}
	d := dialerTo(t, at(n.addr))
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error, 2)
	open := func() {
		_, err := d.OpenTarget(ctx, "n2")
		errs <- err
	}
	go open()
	<-asked
	go open()
	cancel()
	for range 2 {
		err := <-errs
		wantReason(t, err, transfer.PeerUnreachable)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	}
	close(answer)
}

func TestDialerClose(t *testing.T) {
	n := startNode(t, "n2", "c", "", echo(make(chan transfer.ToTarget, 10)))
	d := dialerTo(t, at(n.addr))
	l := openEdge(t, t.Context(), d)
	ping(t, l)
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := l.Recv(t.Context())
	wantReason(t, err, transfer.PeerLost)
	if err := l.Send(t.Context(), &transfer.Ping{}); transfer.ReasonOf(err) != transfer.PeerLost {
		t.Errorf("Send: %v", err)
	}
	if _, err := d.OpenTarget(t.Context(), "n2"); transfer.ReasonOf(err) != transfer.NodeStopping || !errors.Is(err, net.ErrClosed) {
		t.Errorf("OpenTarget: %v", err)
	}
}
