package region

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xferd/xferd/test/bubble"
)

// leased runs a registry with its leases in a bubble.
func leased(t *testing.T, f func(h *home, r *Registry)) {
	bubble.Test(t, func(t *testing.T) {
		h := newHome(t, Config{})
		ctx, stop := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { _ = h.reg.Run(ctx) })
		synctest.Wait()
		f(h, h.reg)
		stop()
		running.Wait()
		h.close()
	})
}

func there(t *testing.T, r *Registry, id string) bool {
	t.Helper()
	synctest.Wait()
	_, err := r.Get("", id)
	return err == nil
}

func TestLeaseEnds(t *testing.T) {
	leased(t, func(h *home, r *Registry) {
		mustCreate(h.t, r, Spec{ID: "long", TTL: time.Hour})
		mustCreate(h.t, r, Spec{ID: "short", TTL: 10 * time.Second})
		time.Sleep(9 * time.Second)
		if !there(h.t, r, "short") {
			h.t.Error("the lease ended early")
		}
		if _, err := r.Update(context.Background(), ann, "short", Change{}); err != nil { // renews it
			h.t.Fatal(err)
		}
		time.Sleep(9 * time.Second)
		if !there(h.t, r, "short") {
			h.t.Error("the lease was not renewed")
		}
		time.Sleep(1200 * time.Millisecond)
		if there(h.t, r, "short") {
			h.t.Error("the lease did not end")
		}
		if !there(h.t, r, "long") {
			h.t.Error("another lease ended too")
		}
		if s := r.Stats(); s.Expired != 1 {
			h.t.Errorf("%d leases ended", s.Expired)
		}
	})
}

// As long as a program is attached the lease does not run; it begins with the end of
// the last connection, as when the program is killed.
func TestLeaseAndAttachedPrograms(t *testing.T) {
	leased(t, func(h *home, r *Registry) {
		mustCreate(h.t, r, Spec{ID: "x", TTL: 10 * time.Second})
		g := r.regions["x"]
		join := func() *attachment {
			a := &attachment{}
			m, p, err := g.join(a, ann, true)
			if err != nil {
				h.t.Fatal(err)
			}
			_, _ = m.Close(), p.Close()
			return a
		}
		a, b := join(), join()
		time.Sleep(time.Hour)
		r.leave(g, a)
		time.Sleep(time.Hour)
		if !there(h.t, r, "x") {
			h.t.Fatal("it went while a program was attached")
		}
		r.leave(g, b)
		time.Sleep(9 * time.Second)
		if !there(h.t, r, "x") {
			h.t.Fatal("it went before its time")
		}
		time.Sleep(1200 * time.Millisecond)
		if there(h.t, r, "x") {
			h.t.Error("it did not go")
		}
	})
}

// The end of a lease is told to those who use the memory, and waits for them.
func TestLeaseEndsUnderATransfer(t *testing.T) {
	leased(t, func(h *home, r *Registry) {
		mustCreate(h.t, r, Spec{ID: "x", TTL: 10 * time.Second})
		w := mustWrite(h.t, r, "x", Range{0, 1})
		time.Sleep(11 * time.Second)
		<-w.Revoked()
		if info, err := r.Get(ann, "x"); err != nil || info.State != Deleting {
			h.t.Errorf("%v, %v", info.State, err)
		}
		w.Memory()[0] = 1
		_ = w.Close()
		if there(h.t, r, "x") {
			h.t.Error("it did not go with the last user")
		}
	})
}

// A region whose program does not come back after a restart goes with its lease.
func TestLeaseOfADetachedRegion(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHome(t, Config{})
		mustCreate(t, h.reg, Spec{ID: "x", TTL: 10 * time.Second})
		r := h.restart()
		ctx, stop := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { _ = r.Run(ctx) })
		time.Sleep(9 * time.Second)
		if !there(t, r, "x") {
			t.Error("it went early")
		}
		time.Sleep(1200 * time.Millisecond)
		if there(t, r, "x") {
			t.Error("it did not go")
		}
		stop()
		running.Wait()
		h.close()
	})
}
