package region

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

// until waits for something that another goroutine does.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("waited in vain: " + what)
		}
	}
}

func (g *region) is(s State) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state == s
}

// Many leases end at once, and some are renewed while the others are being ended: those
// stay.
func TestLeaseRenewedWhileOthersEnd(t *testing.T) {
	r := newRegistry(t)
	const late = 12
	var all []*region
	for i := range endWidth + late {
		id := fmt.Sprint("r", i)
		mustCreate(t, r, Spec{ID: id, Size: PageSize, TTL: time.Minute})
		all = append(all, r.regions[id])
	}
	for _, g := range all {
		g.storing.Lock() // no end gets further than to its record
	}
	var expiring sync.WaitGroup
	expiring.Go(func() { r.expire(time.Now().Add(time.Hour)) })
	var ending, kept []*region
	until(t, "as many regions end as may at a time", func() bool {
		ending, kept = nil, nil
		for _, g := range all {
			if g.is(Deleting) {
				ending = append(ending, g)
			} else {
				kept = append(kept, g)
			}
		}
		return len(ending) == endWidth
	})
	for i, g := range kept {
		g.storing.Unlock()
		if i == 0 {
			a := &attachment{}
			m, p, err := g.join(a, ann, true)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = m.Close(), p.Close()
			defer r.leave(g, a)
			continue
		}
		ttl := 2 * time.Hour
		if _, err := r.Update(context.Background(), ann, g.spec.ID, Change{TTL: &ttl}); err != nil {
			t.Fatal(err)
		}
	}
	for _, g := range ending {
		g.storing.Unlock()
	}
	expiring.Wait()
	for _, g := range kept {
		if info, err := r.Get(ann, g.spec.ID); err != nil || info.State != Ready {
			t.Errorf("%s was renewed, and is %v, %v", g.spec.ID, info.State, err)
		}
	}
	if s := r.Stats(); s.Regions != late || s.Expired != endWidth {
		t.Errorf("%+v", s)
	}
}

// A renewal that the end of the lease came before is not told as one that worked.
func TestRenewalThatComesTooLate(t *testing.T) {
	r := newRegistry(t)
	mustCreate(t, r, Spec{ID: "x"})
	g := r.regions["x"]
	x, err := r.Read(ann, "x") // so that it does not go
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if err := r.end(g, func() error { return errRenewed }); !errors.Is(err, errRenewed) || !g.is(Ready) {
		t.Errorf("%v, state %v", err, g.state)
	}
	r.expire(time.Now().Add(time.Hour))
	_, err = r.Update(context.Background(), ann, "x", Change{})
	wantKind(t, err, ErrGone)
	wantKind(t, r.end(g, func() error { return nil }), ErrGone)
}

// A deletion without force does not end a region under somebody who began to use it.
func TestDeleteAgainstARead(t *testing.T) {
	r := newRegistry(t)
	for i := range 200 {
		id := fmt.Sprint("r", i)
		mustCreate(t, r, Spec{ID: id, Size: PageSize})
		deleted := make(chan error, 1)
		go func() { deleted <- r.Delete(context.Background(), ann, id, false) }()
		x, err := r.Read(ann, id)
		if err != nil {
			if err := <-deleted; err != nil {
				t.Fatal(err)
			}
			continue
		}
		select {
		case <-x.Revoked():
			t.Error("it was taken from a reader")
			_ = x.Close()
			<-deleted
		case err := <-deleted:
			wantKind(t, err, ErrBusy)
			_ = x.Close()
		}
	}
}

// The deletion of a region whose memory could not be had does not take the record of the
// next one of its name.
func TestDeletedWhileItWasNotMade(t *testing.T) {
	h := newHome(t, Config{})
	r := h.reg
	g := &region{r: r, spec: Spec{ID: "a", Principal: ann, Size: PageSize, TTL: time.Minute}, state: Detached, ceiling: generationStep}
	g.init()
	g.storing.Lock() // as Create does
	if err := r.reserve(g); err != nil {
		t.Fatal(err)
	}
	deleted := make(chan error, 1)
	go func() { deleted <- r.Delete(context.Background(), ann, "a", true) }()
	until(t, "the deletion begins", func() bool { return g.is(Deleting) })
	r.forget(g)
	mustCreate(t, r, Spec{ID: "a"})
	g.storing.Unlock()
	if err := <-deleted; err != nil {
		t.Error(err)
	}
	if _, err := h.restart().Get(ann, "a"); err != nil {
		t.Error(err)
	}
}

// While the memory of a region is given back, which takes long where it is large, nobody
// waits who looks at it or at all regions.
func TestNobodyWaitsForMemoryThatIsGivenBack(t *testing.T) {
	for _, how := range []string{"delete", "close"} {
		t.Run(how, func(t *testing.T) {
			r := newRegistry(t)
			mustCreate(t, r, Spec{ID: "large"})
			g := r.regions["large"]
			// A pipe that is in use is not closed before that ends.
			slow, other, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			raw, err := slow.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			g.mem.f, slow = slow, g.mem.f
			defer slow.Close()
			held, rest := make(chan struct{}), make(chan struct{})
			var running sync.WaitGroup
			running.Go(func() {
				_ = raw.Control(func(uintptr) {
					close(held)
					<-rest
				})
			})
			defer running.Wait()
			free := sync.OnceFunc(func() { close(rest) })
			defer free()
			<-held
			running.Go(func() {
				if how == "close" {
					_ = r.Close()
				} else if err := r.Delete(context.Background(), ann, "large", false); err != nil {
					t.Error(err)
				}
			})
			seen := make(chan struct{})
			running.Go(func() {
				defer close(seen)
				out := func() bool {
					g.mu.Lock()
					defer g.mu.Unlock()
					return g.mem == nil
				}
				for !out() {
					runtime.Gosched()
				}
				_ = r.List("", "", 0)
			})
			select {
			case <-seen:
			case <-time.After(20 * time.Second):
				t.Error("everybody waits")
			}
		})
	}
}
