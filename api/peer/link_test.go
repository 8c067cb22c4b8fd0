package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/xferd/xferd/transfer"
)

// Every message crosses a real stream, in both directions and in order.
func TestMessagesCross(t *testing.T) {
	got := make(chan transfer.ToTarget)
	answers := toOwnerSamples()
	n := startNode(t, "n2", "c", "", serveFunc(func(ctx context.Context, from transfer.NodeID, link transfer.OwnerLink) error {
		if from != "n1" {
			t.Errorf("the edge is of %s", from)
		}
		for _, m := range answers {
			if err := link.Send(ctx, m); err != nil {
				return err
			}
		}
		return echo(got)(ctx, from, link)
	}))
	l := openEdge(t, t.Context(), dialerTo(t, at(n.addr)))
	if open := (<-got).(*transfer.Open); open.Dest != "/b/\xff" {
		t.Errorf("first message %+v", open)
	}
	for _, want := range toTargetSamples() {
		if _, ok := want.(*transfer.Ping); ok {
			continue // it is answered
		}
		if err := l.Send(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, <-got, same); d != "" {
			t.Error(d)
		}
	}
	for _, want := range answers {
		m, err := l.Recv(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, m, same); d != "" {
			t.Error(d)
		}
	}
	ping(t, l)
}

// More than a server takes in one message, with others in between.
func TestLongMessagesCross(t *testing.T) {
	got := make(chan transfer.ToTarget, 1)
	n := startNode(t, "n2", "c", "", echo(got))
	l := openEdge(t, t.Context(), dialerTo(t, at(n.addr)))
	<-got
	want := &transfer.EntryDigests{Entry: 1, Digests: digests(1<<20 + 1)}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for i := range 20 {
			if err := l.Send(t.Context(), &transfer.Ping{Seq: uint64(i)}); err != nil {
				t.Error(err)
			}
		}
	})
	if err := l.Send(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if d := (<-got).(*transfer.EntryDigests); len(d.Digests) != len(want.Digests) || d.Digests[1<<20] != want.Digests[1<<20] {
		t.Errorf("%d digests", len(d.Digests))
	}
	for range 20 {
		if _, err := l.Recv(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTargetEnds(t *testing.T) {
	for _, serveErr := range []error{nil, errors.New("boom"), context.Canceled, status.Error(codes.Canceled, "cancelled"), &transfer.Error{Reason: transfer.Cancelled}} {
		t.Run(fmt.Sprint(serveErr), func(t *testing.T) {
			n := startNode(t, "n2", "c", "", serveFunc(func(ctx context.Context, _ transfer.NodeID, link transfer.OwnerLink) error {
				if err := link.Send(ctx, &transfer.Refused{Err: sampleError}); err != nil {
					return err
				}
				defer link.Close()
				return serveErr
			}))
			l := openEdge(t, t.Context(), dialerTo(t, at(n.addr)))
			// What was sent before the end still comes.
			if m, err := l.Recv(t.Context()); err != nil || m.(*transfer.Refused).Err.Reason != sampleError.Reason {
				t.Fatalf("got %#v, %v", m, err)
			}
			for range 2 {
				_, err := l.Recv(t.Context())
				if serveErr == nil {
					if err != io.EOF {
						t.Fatalf("after a good end: %v", err)
					}
				} else {
					wantReason(t, err, transfer.PeerLost)
				}
			}
			if err := l.Send(t.Context(), &transfer.Ping{}); err == nil {
				t.Error("a message can be sent after the end")
			} else if serveErr == nil && err != io.EOF || serveErr != nil && transfer.ReasonOf(err) != transfer.PeerLost {
				t.Errorf("Send: %v", err)
			}
		})
	}
}

func TestOwnerEnds(t *testing.T) {
	end := map[string]func(context.CancelFunc, transfer.TargetLink){
		"cancelled": func(cancel context.CancelFunc, _ transfer.TargetLink) { cancel() },
		"closed":    func(_ context.CancelFunc, l transfer.TargetLink) { _ = l.Close() },
	}
	for name, end := range end {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			n := startNode(t, "n2", "c", "", serveFunc(func(ctx context.Context, from transfer.NodeID, link transfer.OwnerLink) error {
				err := echo(make(chan transfer.ToTarget, 10))(ctx, from, link)
				ended <- err
				return err
			}))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			l := openEdge(t, ctx, dialerTo(t, at(n.addr)))
			ping(t, l)
			end(cancel, l)
			if err := <-ended; err == nil {
				t.Error("the target learned nothing")
			}
			_, err := l.Recv(ctx)
			if name == "cancelled" {
				if err != context.Canceled {
					t.Errorf("Recv: %v", err)
				}
				if err := l.Send(ctx, &transfer.Ping{}); err != context.Canceled {
					t.Errorf("Send: %v", err)
				}
			} else {
				wantReason(t, err, transfer.PeerLost)
			}
		})
	}
}

func TestRecvEndsWithContext(t *testing.T) {
	ended := make(chan error, 1)
	n := startNode(t, "n2", "c", "", serveFunc(func(ctx context.Context, from transfer.NodeID, link transfer.OwnerLink) error {
		if _, err := link.Recv(ctx); err != nil { // Open
			return err
		}
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		_, err := link.Recv(short)
		ended <- err
		return echo(nil)(ctx, from, link)
	}))
	l := openEdge(t, t.Context(), dialerTo(t, at(n.addr)))
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := l.Recv(ctx); err != context.DeadlineExceeded {
		t.Errorf("at the owner: %v", err)
	}
	if err := <-ended; err != context.DeadlineExceeded {
		t.Errorf("at the target: %v", err)
	}
	ping(t, l) // the link lives on
}

// A megabyte, of which streams hold only some.
func bulk() *transfer.EntryDigests { return &transfer.EntryDigests{Digests: digests(1 << 16)} }

// Both ends: a peer that does not read holds up Send, and ctx ends that.
func TestBlockedSendOfOwner(t *testing.T) {
	n := startNode(t, "n2", "c", "", serveFunc(func(ctx context.Context, _ transfer.NodeID, link transfer.OwnerLink) error {
		<-ctx.Done() // reads nothing
		return context.Cause(ctx)
	}))
	l := openEdge(t, t.Context(), dialerTo(t, at(n.addr)))
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		err := l.Send(ctx, bulk())
		cancel()
		if err == nil {
			continue // what the streams hold is bounded
		}
		if err != context.DeadlineExceeded {
			t.Fatalf("error %v", err)
		}
		if l.(*targetLink).stream.Context().Err() != nil {
			break // else it gave up before it began
		}
	}
	// The stream ended with it.
	_, err := l.Recv(t.Context())
	wantReason(t, err, transfer.PeerLost)
}

func TestBlockedSendOfTarget(t *testing.T) {
	ended := make(chan error, 1)
	n := startNode(t, "n2", "c", "", serveFunc(func(ctx context.Context, _ transfer.NodeID, link transfer.OwnerLink) error {
		many := &transfer.Results{Results: make([]transfer.Result, 1<<14)}
		for i := range many.Results {
			many.Results[i] = transfer.Result{Entry: uint64(i), Path: "a name of some length, so that it is more", Kind: transfer.KindFile, Outcome: transfer.OutcomeSame}
		}
		send := func(m transfer.ToOwner) error {
			short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			return link.Send(short, m)
		}
		// What the streams hold is bounded. After the send that is blocked another
		// one waits behind it, and gives up as well.
		var err error
		for err == nil || send(&transfer.Pong{}) == nil {
			err = send(many)
		}
		ended <- err
		return err
	}))
	l := openEdge(t, t.Context(), dialerTo(t, at(n.addr)))
	if err := <-ended; err != context.DeadlineExceeded {
		t.Fatalf("error %v", err)
	}
	// The handler returned while gRPC's send was blocked: nothing of it stays,
	// though the owner still does not read.
	n.Wait()
	for {
		_, err := l.Recv(t.Context())
		if err != nil {
			wantReason(t, err, transfer.PeerLost)
			break
		}
	}
}

func TestCloseTwice(t *testing.T) {
	n := startNode(t, "n2", "c", "", serveFunc(func(ctx context.Context, _ transfer.NodeID, link transfer.OwnerLink) error {
		for range 2 {
			if err := link.Close(); err != nil {
				t.Error(err)
			}
		}
		// Also calls with a context of their own end.
		own := context.WithoutCancel(ctx)
		if _, err := link.Recv(own); err != nil { // Open was received already
			t.Error(err)
		}
		if _, err := link.Recv(own); !errors.Is(err, errLinkClosed) {
			t.Errorf("Recv: %v", err)
		}
		return nil
	}))
	l := openEdge(t, t.Context(), dialerTo(t, at(n.addr)))
	if _, err := l.Recv(t.Context()); err != io.EOF {
		t.Errorf("Recv: %v", err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What the target does not understand would be the same again the next time.
func TestProtocolErrors(t *testing.T) {
	n := startNode(t, "n2", "c", "", echo(nil))
	d := dialerTo(t, at(n.addr))
	for _, first := range []transfer.ToTarget{
		&transfer.Ping{}, // not Open
		&transfer.Open{Sources: []string{strings.Repeat("x", maxSend)}}, // more than a message may have
	} {
		l, err := d.OpenTarget(t.Context(), "n2")
		if err != nil {
			t.Fatal(err)
		}
		if err = l.Send(t.Context(), first); err == nil {
			_, err = l.Recv(t.Context())
		}
		wantReason(t, err, transfer.ProtocolError)
		_ = l.Close()
	}
}

func TestAuthoriseEdge(t *testing.T) {
	n := startNode(t, "n2", "c", "", echo(nil))
	d := dialerTo(t, at(n.addr))
	if _, err := d.Conn(t.Context(), "n2"); err != nil { // Hello is through
		t.Fatal(err)
	}
	n.Authorise = func(context.Context) error { return status.Error(codes.PermissionDenied, "no more") }
	l, err := d.OpenTarget(t.Context(), "n2")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = l.Recv(t.Context())
	wantReason(t, err, transfer.PermissionDenied)
}
