package server

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/test/bubble"
	"github.com/xferd/xferd/transfer"
)

func bareServer(t *testing.T, e *fakeEngine) *Server {
	t.Helper()
	s, err := New(Config{
		Self: e.node, Engine: e, Nodes: &fakeNodes{changed: make(chan struct{})}, Guard: fakeGuard{}, Forwarder: &fakeNode{},
		Exports: func() *fsroot.Exports { return nil }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSlowWatcherIsGivenUp: one that does not read holds nothing up for longer
// than half a minute, and Close waits for what it held.
func TestSlowWatcherIsGivenUp(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := bareServer(t, newFakeEngine("n1"))
		blocked := make(chan struct{}) // closed when the handler returned, as gRPC does
		p, err := newPump(s, func(*xferv1.WatchTransfersResponse) error {
			<-blocked
			return errors.New("the stream ended")
		})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		err = p.send(t.Context(), &xferv1.WatchTransfersResponse{})
		wantReason(t, "a watcher that does not read", err, transfer.SlowConsumer)
		if d := time.Since(start); d != slowAfter {
			t.Errorf("given up after %s", d)
		}
		p.close()
		close(blocked)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := newPump(s, func(*xferv1.WatchTransfersResponse) error { return nil }); transfer.ReasonOf(err) != transfer.NodeStopping {
			t.Errorf("a watch after Close: %v", err)
		}
	})
}

// TestSlowWatcherMissesNoEnd: while a watcher is stuck the engine goes on, and
// afterwards every transfer is told once, as it ended.
func TestSlowWatcherMissesNoEnd(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := newFakeEngine("n1")
		s := bareServer(t, e)
		defer s.Close()
		for _, id := range []string{"a", "b"} {
			e.add(id, "ann")
		}
		ctx, cancel := context.WithCancel(t.Context())
		read, told := make(chan struct{}), []string{}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = s.watchOwn(ctx, watch{interval: watchInterval}, s.markToken(transfer.Mark{State: e.state, Revision: e.revision}), func(m *xferv1.WatchTransfersResponse) error {
				<-read
				if tr := m.GetTransfer(); tr != nil {
					told = append(told, tr.GetName()+" "+tr.GetState().String())
				}
				return nil
			})
		}()
		synctest.Wait() // it is stuck in telling that it caught up
		for range 1000 {
			e.set("a", func(*transfer.Transfer) {})
			e.set("b", func(*transfer.Transfer) {})
		}
		e.set("b", func(tr *transfer.Transfer) { tr.State = transfer.StateFailed })
		e.set("a", func(tr *transfer.Transfer) { tr.State = transfer.StateSucceeded })
		close(read)
		time.Sleep(time.Second) // of the bubble
		cancel()
		<-ended
		if len(told) != 2 || told[0] != "nodes/n1/transfers/b STATE_FAILED" || told[1] != "nodes/n1/transfers/a STATE_SUCCEEDED" {
			t.Errorf("told %v", told)
		}
	})
}

// TestHeartbeat: a quiet watch gives a sign, with a token, every 10 seconds.
func TestHeartbeat(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := newFakeEngine("n1")
		s := bareServer(t, e)
		defer s.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 35*time.Second)
		defer cancel()
		beats := 0
		_ = s.watchOwn(ctx, watch{interval: watchInterval}, "", func(m *xferv1.WatchTransfersResponse) error {
			if m.GetWatchToken() == "" {
				t.Error("no token")
			}
			if m.GetEvent() == nil {
				beats++
			}
			return nil
		})
		if beats != 3 {
			t.Errorf("%d signs in 35 s", beats)
		}
	})
}
