package receiver

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/xferd/xferd/test/bubble"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// TestOpenTempsAreBounded: an owner that begins more and more files has those
// refused that are too many. What it ends makes room again.
func TestOpenTempsAreBounded(t *testing.T) {
	g := newRig(t, func(c *Config) { c.MaxTemps = 3 })
	o := g.dial(g.request("d"))
	list := []source{dir(root, "")}
	for i := range 5 {
		list = append(list, regular(0, fmt.Sprint(i), pattern(2*testChunk, byte(i))))
	}
	o.announce(list...)
	for n := range uint64(3) {
		o.answer(n + 1)
		if v := o.land(o.extent(n+1, 0)); v[0].Code != transport.Placed {
			t.Fatalf("%+v", v)
		}
	}
	o.answer(4)
	if v := o.land(o.extent(4, 0)); v[0].Code != transport.Refused || transfer.ReasonOf(v[0].Err) != transfer.LocalFDLimit {
		t.Errorf("%+v", v)
	}
	o.fails(4, transfer.LocalFDLimit)
	for n := range uint64(3) {
		o.land(o.extent(n+1, testChunk))
		o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: n + 1}}})
		o.want(n+1, transfer.OutcomePublished)
	}
	o.serve()
	o.want(5, transfer.OutcomePublished)
	if fin := o.finish(); fin.Err != nil {
		t.Error(fin.Err)
	}
	g.wantClean()
	if n := len(g.Receiver.slots); n != 0 {
		t.Errorf("%d slots are taken", n)
	}
}

// TestTempsOfAnEdgeThatBreaks give their slots back.
func TestTempsOfAnEdgeThatBreaks(t *testing.T) {
	g := newRig(t)
	o := g.dial(g.request("d"))
	o.announce(dir(root, ""), regular(0, "a", pattern(2*testChunk, 1)), regular(0, "b", pattern(2*testChunk, 2)))
	o.answer(1)
	o.answer(2)
	o.land(o.extent(1, 0), o.extent(2, 0))
	if n := len(g.Receiver.slots); n != 2 {
		t.Errorf("%d slots are taken", n)
	}
	o.close()
	if n := len(g.Receiver.slots); n != 0 {
		t.Errorf("%d slots are taken after the edge", n)
	}
}

func TestSlots(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		node := make(chan struct{}, 2)
		a, b := slots{make(chan struct{}, 2), node}, slots{make(chan struct{}, 2), node}
		for range 2 {
			if err := a.take(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.take(t.Context()); err == nil || len(b.edge) != 0 {
			t.Errorf("%v, %d", err, len(b.edge))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := a.take(ctx); err != context.Canceled {
			t.Error(err)
		}
		done := make(chan error)
		go func() { done <- b.take(t.Context()) }()
		synctest.Wait()
		a.give()
		if err := <-done; err != nil {
			t.Error(err)
		}
		a.giveAll()
		b.giveAll()
		if len(node) != 0 {
			t.Error(len(node))
		}
	})
}
