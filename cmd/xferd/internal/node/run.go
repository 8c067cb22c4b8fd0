package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/xferd/xferd/cluster"
	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/internal/telemetry"
	"github.com/xferd/xferd/transfer"
)

// Run serves until ctx ends or a part fails. Then it stops in order: no new
// calls, transfers at their next chunk boundary (they go on at the next start),
// membership, data plane, state. It takes at most about 20 s, and returns after
// everything of the node ended.
func (n *Node) Run(ctx context.Context) error {
	defer n.closeOpened()
	base := context.WithoutCancel(ctx)
	var (
		failed = make(chan error, 16)
		back   sync.WaitGroup // what serves others, stopped last
	)
	bg, stopBack := context.WithCancel(base)
	defer stopBack()
	background := func(what string, f func(context.Context) error) {
		back.Go(func() {
			if err := f(bg); err != nil && bg.Err() == nil {
				failed <- fmt.Errorf("%s: %w", what, err)
			}
		})
	}
	background("data plane", n.tcp.Run)
	background("regions", n.regions.Run)
	background("membership", func(ctx context.Context) error {
		err := n.cluster.Run(ctx)
		if errors.Is(err, cluster.ErrDuplicateNode) {
			return fmt.Errorf("%w: name %q: %w", ErrConfig, n.cfg.Name, err)
		}
		return err
	})
	background("membership events", n.peers.watch)
	background("room of the state", n.watchRoom)
	if n.http != nil {
		background("metrics", func(ctx context.Context) error {
			return telemetry.Serve(ctx, n.http, n.metrics, n.healthy, n.log)
		})
	}

	var calls sync.WaitGroup
	calls.Go(func() {
		if err := n.grpcControl.Serve(n.control); err != nil {
			failed <- fmt.Errorf("control port: %w", err)
		}
	})
	if n.socket != nil {
		calls.Go(func() {
			if err := n.grpcSocket.Serve(n.socket); err != nil {
				failed <- fmt.Errorf("socket: %w", err)
			}
		})
	}

	engine, stopEngine := context.WithCancel(base)
	defer stopEngine()
	var running sync.WaitGroup
	running.Go(func() {
		if err := n.engine.Run(engine); err != nil {
			failed <- err
		}
	})

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	case <-n.store.Failed():
		err = n.store.Err()
	}

	n.grpcControl.Health.Shutdown()
	n.grpcSocket.Health.Shutdown()
	_ = n.api.Close()
	stopEngine()
	if !waitFor(&running, stopTimeout) {
		n.log.Error("transfers did not stop in time; they go on at the next start", "after", stopTimeout)
	}
	n.target.close()
	_ = n.dialer.Close()
	stopCalls := time.AfterFunc(2*time.Second, func() {
		n.grpcControl.Stop()
		n.grpcSocket.Stop()
	})
	n.grpcControl.GracefulStop()
	n.grpcSocket.GracefulStop()
	stopCalls.Stop()
	calls.Wait()
	n.edges.Wait()
	n.peers.wg.Wait()
	stopBack()
	back.Wait()
	running.Wait()
	n.mistaken = errors.Is(err, ErrConfig)
	return err
}

// roomEvery is how often it is looked whether the state directory has room.
const roomEvery = 5 * time.Second

// watchRoom has the store find out in time that its file system is full, and that it
// is not any more: it says so in the log.
func (n *Node) watchRoom(ctx context.Context) error {
	tick := time.NewTicker(roomEvery)
	defer tick.Stop()
	for {
		_ = n.store.Room() // it keeps what it found
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// healthy returns why the node cannot do its work, or nil.
func (n *Node) healthy() error {
	err := n.store.Room()
	if errors.Is(err, store.ErrNoSpace) {
		return fmt.Errorf("%s: %w", transfer.StateNoSpace, err)
	}
	return err
}

// waitFor waits for a group, but not for ever.
func waitFor(wg *sync.WaitGroup, d time.Duration) bool {
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
		return false
	}
}
