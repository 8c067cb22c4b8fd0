package node

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cluster"
	"github.com/xferd/xferd/cmd/xferd/internal/config"
	"github.com/xferd/xferd/region"
)

// alone is one node with a unix socket, which can be started again.
type alone struct {
	t      *testing.T
	cfg    config.Config
	node   *Node
	client *client.Client
	stop   func()
}

func newAlone(t *testing.T) *alone {
	t.Helper()
	dir := t.TempDir()
	c := config.Default()
	c.Name, c.Cluster = "n1", "test"
	c.Listen = config.Listen{Control: "127.0.0.1:0", Data: "127.0.0.1:0", Gossip: "127.0.0.1:0", Socket: filepath.Join(dir, "run", "s")}
	c.StateDir, c.Exports = filepath.Join(dir, "state"), []config.Export{{Path: t.TempDir(), Mode: "rw"}}
	a := &alone{t: t, cfg: c, stop: func() {}}
	a.start()
	t.Cleanup(func() { a.stop() })
	cl, err := client.Dial("unix://"+c.Listen.Socket, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a.client = cl
	t.Cleanup(func() { _ = cl.Close() })
	return a
}

func (a *alone) start() {
	a.t.Helper()
	n, err := New(context.Background(), a.cfg, Options{Log: slog.New(slog.DiscardHandler), Version: "test", Gossip: cluster.Local, NoSync: true})
	if err != nil {
		a.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := n.Run(ctx); err != nil {
			a.t.Error(err)
		}
	})
	a.node = n
	a.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
}

func (a *alone) create(id string, foreign bool) *xferv1.Region {
	a.t.Helper()
	g, err := a.client.CreateRegion(a.t.Context(), "n1", id, &xferv1.Region{SizeBytes: 4 * region.PageSize, Foreign: foreign})
	if err != nil {
		a.t.Fatal(err)
	}
	return g
}

func (a *alone) attach(id string, o client.AttachOptions) *client.Region {
	a.t.Helper()
	g, err := a.client.AttachRegion(a.t.Context(), id, o)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = g.Close() })
	return g
}

// write writes text at the start of a region, as a transfer would.
func (a *alone) write(owner, id, text string) uint64 {
	a.t.Helper()
	w, err := a.node.regions.Write(context.Background(), region.WriteRequest{Principal: owner, ID: id, Ranges: []region.Range{{Offset: 0, Length: int64(len(text))}}})
	if err != nil {
		a.t.Fatal(err)
	}
	defer w.Close()
	w.Touched()
	copy(w.Memory(), text)
	g, err := w.Commit(region.Commit{Bytes: int64(len(text))})
	if err != nil {
		a.t.Fatal(err)
	}
	return g
}

// A program makes a region, attaches, waits for a write and reads it.
func TestAttachWaitAndRead(t *testing.T) {
	for name, o := range map[string]client.AttachOptions{"sleeping": {}, "spinning": {Spin: time.Minute}, "reading": {ReadOnly: true}} {
		t.Run(name, func(t *testing.T) {
			a := newAlone(t)
			owner := a.create("x", false).GetOwner()
			g := a.attach("x", o)
			type result struct {
				generation uint64
				err        error
			}
			waited, seen := make(chan result), g.Generation()
			go func() {
				n, err := g.Wait(t.Context(), seen)
				waited <- result{n, err}
			}()
			want := a.write(owner, "x", "hello")
			if got := <-waited; got.err != nil || got.generation != want || string(g.Bytes()[:5]) != "hello" || g.OpenWrites() > 1 || g.Torn() != 0 {
				t.Errorf("waited for %d, %v; memory %q", got.generation, got.err, g.Bytes()[:5])
			}
			short, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			if _, err := g.Wait(short, want); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a wait to no end: %v", err)
			}
			info, err := a.client.GetRegion(t.Context(), "nodes/n1/regions/x")
			if err != nil || info.GetAttached() != 1 || info.GetGeneration() != want {
				t.Errorf("%v, %v", info, err)
			}
			if err := g.Close(); err != nil {
				t.Error(err)
			}
			_ = g.Close()
		})
	}
}

// A region is deleted: who waits for it is told.
func TestWaitEndsWithTheRegion(t *testing.T) {
	a := newAlone(t)
	a.create("x", false)
	g := a.attach("x", client.AttachOptions{})
	waited := make(chan error)
	go func() {
		_, err := g.Wait(t.Context(), g.Generation())
		waited <- err
	}()
	if err := a.client.DeleteRegion(t.Context(), "nodes/n1/regions/x", false); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; client.ReasonOf(err) != "REGION_GONE" {
		t.Errorf("the wait ended with %v", err)
	}
	g.Bytes()[0] = 1 // is mapped as long as the program wants
	if _, err := a.client.AttachRegion(t.Context(), "x", client.AttachOptions{}); client.ReasonOf(err) != "REGION_NOT_FOUND" {
		t.Errorf("attach to a region that is gone: %v", err)
	}
}

// When the daemon is started again, attached programs bring their regions back, and
// waits go on.
func TestRegionsOutliveTheDaemon(t *testing.T) {
	a := newAlone(t)
	owner := a.create("x", false).GetOwner()
	lost := make(chan error, 100)
	g := a.attach("x", client.AttachOptions{Lost: func(err error) { lost <- err }})
	reader := a.attach("x", client.AttachOptions{ReadOnly: true})
	before := a.write(owner, "x", "before")
	copy(g.Bytes()[100:], "mine")
	for range 2 {
		a.stop()
		<-lost
		a.start()
		waited, last := make(chan uint64), before
		go func() {
			n, err := reader.Wait(t.Context(), last) // it rises with the restart too
			if err != nil {
				t.Error(err)
			}
			waited <- n
		}()
		for { // until it is back
			info, err := a.client.GetRegion(t.Context(), "nodes/n1/regions/x")
			if err != nil {
				t.Fatal(err)
			}
			if info.GetState() == xferv1.RegionState_REGION_STATE_READY && info.GetAttached() == 2 {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		now := a.write(owner, "x", "after")
		if n := <-waited; n <= before || now <= before {
			t.Errorf("generation %d, seen %d, after %d", now, n, before)
		}
		before = now
		if string(reader.Bytes()[:5]) != "after" || string(reader.Bytes()[100:104]) != "mine" {
			t.Errorf("memory %q, %q", reader.Bytes()[:6], reader.Bytes()[100:104])
		}
	}
}

// A program that was attached read only learns that the region is another one now.
func TestAnotherRegionOfTheName(t *testing.T) {
	a := newAlone(t)
	a.create("x", false)
	reader := a.attach("x", client.AttachOptions{ReadOnly: true})
	a.stop()
	a.start()
	if err := a.client.DeleteRegion(t.Context(), "nodes/n1/regions/x", false); err != nil {
		t.Fatal(err)
	}
	a.create("x", false)
	if _, err := reader.Wait(t.Context(), reader.Generation()); client.ReasonOf(err) != "REGION_GONE" && client.ReasonOf(err) != "REGION_NOT_FOUND" {
		t.Errorf("the wait ended with %v", err)
	}
}

// A program offers its own memory.
func TestOfferOwnMemory(t *testing.T) {
	a := newAlone(t)
	owner := a.create("f", true).GetOwner()
	f, err := client.NewMemory(4 * region.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g, err := a.client.OfferRegion(t.Context(), "f", f, client.AttachOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	a.write(owner, "f", "into it")
	if string(g.Bytes()[:7]) != "into it" {
		t.Errorf("memory %q", g.Bytes()[:7])
	}
	pipe, _, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	if _, err := a.client.OfferRegion(t.Context(), "f", pipe, client.AttachOptions{}); client.ReasonOf(err) != "REGION_FD" {
		t.Errorf("a pipe: %v", err)
	}
	if _, err := client.NewMemory(-1); err == nil {
		t.Error("memory of -1 bytes")
	}
}

// The owner is killed: the lease runs from then on.
func TestLeaseBeginsWhenTheProgramIsGone(t *testing.T) {
	a := newAlone(t)
	a.create("x", false)
	g := a.attach("x", client.AttachOptions{})
	if info, _ := a.client.GetRegion(t.Context(), "nodes/n1/regions/x"); info.GetExpireTime() != nil {
		t.Errorf("the lease runs: %v", info)
	}
	_ = g.Close() // for the daemon it is the same
	for {
		info, err := a.client.GetRegion(t.Context(), "nodes/n1/regions/x")
		if err != nil {
			t.Fatal(err)
		}
		if info.GetExpireTime() != nil && info.GetAttached() == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func TestWatchRegionThroughARestart(t *testing.T) {
	a := newAlone(t)
	owner := a.create("x", false).GetOwner()
	g := a.attach("x", client.AttachOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	commits := make(chan uint64, 10)
	var watching sync.WaitGroup
	watching.Go(func() {
		for m, err := range a.client.WatchRegion(ctx, "nodes/n1/regions/x", nil) {
			if err != nil {
				if ctx.Err() == nil {
					t.Error(err)
				}
				return
			}
			if m.GetRegion() != nil {
				commits <- 0 // it watches
			}
			if m.GetCommit() != nil {
				commits <- m.GetGeneration()
			}
		}
	})
	<-commits
	if want := a.write(owner, "x", "a"); <-commits != want {
		t.Error("another commit")
	}
	a.stop()
	a.start()
	<-commits
	for g.Generation() == 1 { // until it is attached again
		time.Sleep(time.Millisecond)
	}
	if want := a.write(owner, "x", "b"); <-commits != want {
		t.Error("another commit")
	}
	cancel()
	watching.Wait()
}
