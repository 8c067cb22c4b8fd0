package peer

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/xferd/xferd/transfer"
)

// A target that stops in order is no cancellation: the owner tries again when
// the node is back. PEER_LOST says that, CANCELLED would end the transfer.
func TestTargetStopIsPeerLostNotCancelled(t *testing.T) {
	for _, graceful := range []bool{false, true} {
		for _, serveErr := range []error{context.Canceled, errors.New("node stops")} {
			t.Run(fmt.Sprintf("graceful=%v/%v", graceful, serveErr), func(t *testing.T) {
				const edges = 8
				stop := make(chan struct{}) // of the target's own, as its receiver has
				n := startNode(t, "n2", "c", "", serveFunc(func(ctx context.Context, _ transfer.NodeID, link transfer.OwnerLink) error {
					ctx, cancel := context.WithCancel(ctx)
					defer cancel()
					done := make(chan struct{})
					defer close(done)
					go func() {
						select {
						case <-stop:
							cancel()
						case <-done:
						}
					}()
					_ = echo(make(chan transfer.ToTarget, 10))(ctx, "", link)
					return serveErr
				}))
				d := dialerTo(t, at(n.addr))
				links := make([]transfer.TargetLink, edges)
				for i := range links {
					links[i] = openEdge(t, t.Context(), d)
					ping(t, links[i])
				}
				stopped := make(chan struct{})
				go func() {
					defer close(stopped)
					if graceful {
						n.grpc.GracefulStop()
					} else {
						n.grpc.Stop()
					}
				}()
				if graceful {
					for _, l := range links { // they go on until they are told
						ping(t, l)
					}
					close(stop)
				}
				for _, l := range links {
					_, err := l.Recv(t.Context())
					wantReason(t, err, transfer.PeerLost)
					if !transfer.ReasonOf(err).Transient() {
						t.Errorf("not tried again: %v", err)
					}
					if errors.Is(err, context.Canceled) {
						t.Errorf("taken for the owner's own end: %v", err)
					}
					if err := l.Send(t.Context(), &transfer.Ping{}); transfer.ReasonOf(err) != transfer.PeerLost {
						t.Errorf("Send: %v", err)
					}
				}
				<-stopped
				n.Wait()
				_, err := d.OpenTarget(t.Context(), "n2")
				wantReason(t, err, transfer.PeerUnreachable)
			})
		}
	}
}

// After Wait no edge begins: it would use what the node has closed.
func TestNoEdgeAfterWait(t *testing.T) {
	n := startNode(t, "n2", "c", "", serveFunc(func(context.Context, transfer.NodeID, transfer.OwnerLink) error {
		t.Error("an edge is served")
		return nil
	}))
	n.Wait()
	l, err := dialerTo(t, at(n.addr)).OpenTarget(t.Context(), "n2")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = l.Recv(t.Context())
	wantReason(t, err, transfer.PeerLost)
}
