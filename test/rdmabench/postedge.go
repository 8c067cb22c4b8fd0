package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/internal/store"
	regions "github.com/xferd/xferd/region"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/memory"
	"github.com/xferd/xferd/transfer/scan"
	"github.com/xferd/xferd/transfer/sender"
	"github.com/xferd/xferd/transport"
)

const benchUser = "uid:0"

// edgePosts posts 4 KiB n times by an edge alone: sender and target of a prepared
// transfer in this process, without the API around them. It returns how long each took
// until whoever looks at the generation saw it, as ib_write_lat looks at its memory.
func (e *edges) edgePosts(ctx context.Context, n int) (took []time.Duration, err error) {
	dir, err := os.MkdirTemp("/dev/shm", "p.")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	quiet := slog.New(slog.DiscardHandler)
	s, err := store.Open(ctx, dir, store.Options{NodeID: "n1", Log: quiet, NoSync: true})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	reg, err := regions.Open(ctx, regions.Config{Store: s, Log: quiet})
	if err != nil {
		return nil, err
	}
	defer reg.Close()
	for _, id := range []string{"a", "d"} {
		if _, err := reg.Create(ctx, regions.Spec{ID: id, Principal: benchUser, Size: smallSize}); err != nil {
			return nil, err
		}
	}
	look, err := reg.Read(benchUser, "d")
	if err != nil {
		return nil, err
	}
	defer look.Close()
	target := memory.New(memory.Config{
		Node: "n2", Incarnation: 1, Regions: benchTargets{reg}, Log: quiet,
		Acceptors: map[string]transport.Acceptor{transport.RDMA: e.dst}, Order: []string{transport.RDMA},
	})
	defer target.Close()
	e.epoch++
	o := &postObserver{results: make(chan transfer.Result, 1), ready: make(chan struct{}, 1)}
	toTarget, toOwner := transfer.Pipe()
	edge := sender.New(sender.Config{
		Node: "n1", Exports: func() *fsroot.Exports { return nil }, Regions: benchSources{reg}, Log: quiet,
		Dialers: map[string]transport.Dialer{transport.RDMA: e.src},
	}, sender.Job{ID: "p", UID: transfer.NewUID(), Epoch: e.epoch, TargetDistinct: true, StateUUID: "s", Spec: transfer.Spec{
		Mode: transfer.ModeAssemble, DestMode: transfer.DestExact, Verify: transfer.VerifyWire, Source: "n1", Target: "n2", Dest: "@d", Principal: benchUser,
		Pieces: []transfer.Piece{{Path: "@a", Length: -1}}, Policy: transfer.PolicyRDMA, Prepared: true,
	}}, toTarget, o)
	var both sync.WaitGroup
	both.Go(func() { _ = target.Serve(ctx, memory.Peer{Node: "n1"}, toOwner) })
	both.Go(func() {
		_, o.err = edge.Run(ctx)
		_ = toTarget.Close()
		close(o.results)
	})
	defer both.Wait()
	defer edge.EndPosts()
	select {
	case <-o.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for i := range n {
		before, start := look.Generation(), time.Now()
		edge.Post()
		for spins := 0; look.Generation() == before; spins++ {
			if spins%256 == 255 {
				runtime.Gosched()
			}
			if spins%(1<<16) == 1<<16-1 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
		if i >= n/10 { // the first ones find everything cold
			took = append(took, time.Since(start))
		}
		r, ok := <-o.results
		switch {
		case !ok:
			return nil, fmt.Errorf("post %d: the edge ended: %w", i, o.err)
		case r.Err != nil:
			return nil, fmt.Errorf("post %d: %w", i, r.Err)
		}
	}
	return took, nil
}

type postObserver struct {
	results chan transfer.Result
	ready   chan struct{}
	err     error
}

func (o *postObserver) Opened(*transfer.Opened)               {}
func (o *postObserver) Result(r transfer.Result)              { o.results <- r }
func (o *postObserver) Progress(sender.Progress)              {}
func (o *postObserver) Path(string, transport.Reason, string) {}
func (o *postObserver) Waiting(*transfer.Error)               {}
func (o *postObserver) Ready(string) {
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

type benchSources struct{ r *regions.Registry }

func (s benchSources) Read(principal, id string) (scan.Region, error) { return s.r.Read(principal, id) }

type benchTargets struct{ r *regions.Registry }

func (s benchTargets) Write(ctx context.Context, q memory.Request) (memory.Writing, error) {
	ranges := make([]regions.Range, len(q.Ranges))
	for i, x := range q.Ranges {
		ranges[i] = regions.Range{Offset: x.Offset, Length: x.Length}
	}
	w, err := s.r.Write(ctx, regions.WriteRequest{Principal: q.Principal, ID: q.ID, Ranges: ranges, Transfer: q.Transfer})
	return benchWriting{w}, err
}

type benchWriting struct{ *regions.Writing }

func (w benchWriting) Commit(c memory.Commit) (uint64, error) {
	return w.Writing.Commit(regions.Commit{Digest: c.Digest, Bytes: c.Bytes})
}
