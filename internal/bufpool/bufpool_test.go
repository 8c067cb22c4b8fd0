package bufpool

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/xferd/xferd/test/bubble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(t *testing.T, p *Pool, size int) *Buffer {
	t.Helper()
	b, err := p.Get(t.Context(), size)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSizes(t *testing.T) {
	p := New(256 << 20)
	for _, c := range []struct {
		size int
		cost int64
	}{
		{1, 64 << 10}, {64 << 10, 64 << 10}, {64<<10 + 1, 128 << 10}, {4 << 20, 4 << 20}, {4<<20 + 1, 8 << 20},
		{64 << 20, 64 << 20}, {64<<20 + 1, 64<<20 + 1},
	} {
		b := get(t, p, c.size)
		if len(b.Bytes()) != c.size || cap(b.Bytes()) != c.size || p.InUse() != c.cost {
			t.Errorf("size %d: len %d, cap %d, %d in use", c.size, len(b.Bytes()), cap(b.Bytes()), p.InUse())
		}
		b.Bytes()[c.size-1] = 1
		b.Release()
	}
	if p.InUse() != 0 || p.Close() != nil {
		t.Error("something is left")
	}
}

func TestRefusals(t *testing.T) {
	p := New(100 << 10)
	defer p.Close()
	for _, size := range []int{-1, 0, 100<<10 + 1} {
		if _, err := p.Get(t.Context(), size); err == nil {
			t.Errorf("got %d bytes", size)
		}
		if _, ok := p.TryGet(size); ok {
			t.Errorf("got %d bytes", size)
		}
	}
	b := get(t, p, 100<<10) // its class is larger than the budget
	if _, ok := p.TryGet(1); ok {
		t.Error("lent more than the budget")
	}
	b.Release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Get(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Get after its context: %v", err)
	}
}

func TestReferences(t *testing.T) {
	p := New(1 << 20)
	b := get(t, p, 1)
	b.Retain()
	b.Release()
	if p.InUse() == 0 {
		t.Error("released with a reference left")
	}
	b.Release()
	for i, f := range []func(){b.Release, b.Retain} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("call %d on a dead buffer went well", i)
				}
			}()
			f()
		}()
	}
}

// TestFair: who waits is served in order, also when a later one would fit.
func TestFair(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := New(4 << 20)
		defer p.Close()
		held := []*Buffer{get(t, p, 2<<20), get(t, p, 1<<20)}
		var mu sync.Mutex
		var order []int
		var got []*Buffer
		for i, size := range []int{4 << 20, 1 << 20, 1 << 20} {
			go func() {
				b, err := p.Get(t.Context(), size)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				order, got = append(order, i), append(got, b)
			}()
			synctest.Wait()
		}
		if _, ok := p.TryGet(1); ok {
			t.Error("TryGet went past those who wait")
		}
		held[1].Release()
		synctest.Wait()
		if len(order) != 0 {
			t.Errorf("served %v before the first fits", order)
		}
		held[0].Release()
		synctest.Wait()
		if len(order) != 1 || order[0] != 0 {
			t.Fatalf("served %v", order)
		}
		got[0].Release()
		synctest.Wait()
		if len(order) != 3 {
			t.Errorf("served %v", order)
		}
		got[1].Release()
		got[2].Release()
	})
}

// TestCancelServes: one who gives up no longer holds up those behind.
func TestCancelServes(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := New(4 << 20)
		defer p.Close()
		held := get(t, p, 2<<20)
		ctx, cancel := context.WithCancel(t.Context())
		go p.Get(ctx, 4<<20)
		synctest.Wait()
		done := make(chan *Buffer)
		go func() { b, _ := p.Get(t.Context(), 1<<20); done <- b }()
		synctest.Wait()
		cancel()
		(<-done).Release()
		held.Release()
		if p.InUse() != 0 {
			t.Errorf("%d in use", p.InUse())
		}
	})
}

func TestClose(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := New(1 << 20)
		b := get(t, p, 1<<20)
		failed := make(chan error)
		go func() { _, err := p.Get(t.Context(), 1); failed <- err }()
		synctest.Wait()
		if p.Close() == nil {
			t.Error("closed with a lease out")
		}
		if err := <-failed; !errors.Is(err, ErrClosed) {
			t.Errorf("who waited got %v", err)
		}
		b.Release()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if _, err := p.Get(t.Context(), 1); !errors.Is(err, ErrClosed) {
			t.Errorf("Get after Close: %v", err)
		}
	})
}

// TestTrim: what nobody needs any more is unmapped, what is in use stays.
func TestTrim(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := New(128 << 20)
		defer p.Close()
		var held []*Buffer
		for range 16 {
			held = append(held, get(t, p, 4<<20))
		}
		for _, b := range held {
			b.Release()
		}
		if p.idle != 64<<20 {
			t.Fatalf("%d idle", p.idle)
		}
		for range 20 { // steady use of two of them
			time.Sleep(trimEvery*3/5 + time.Millisecond)
			a, b := get(t, p, 4<<20), get(t, p, 4<<20)
			a.Release()
			b.Release()
		}
		synctest.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.idle != 8<<20 {
			t.Errorf("%d idle", p.idle)
		}
	})
}

// TestBudget: many at once never exceed the budget, mapped memory included.
func TestBudget(t *testing.T) {
	const budget = 3 << 20
	p := New(budget)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for range 300 {
				b, err := p.Get(t.Context(), 1+r.IntN(budget))
				if err != nil {
					t.Error(err)
					return
				}
				b.Bytes()[0] = 1
				p.mu.Lock()
				if p.inUse+p.idle > budget {
					t.Errorf("%d in use and %d idle", p.inUse, p.idle)
				}
				p.mu.Unlock()
				b.Release()
			}
		})
	}
	wg.Wait()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestNoAllocation(t *testing.T) {
	if checked {
		t.Skip("checked builds make new leases")
	}
	p := New(4 << 20)
	defer p.Close()
	get(t, p, 1<<20).Release()
	if n := testing.AllocsPerRun(100, func() {
		b, _ := p.TryGet(1 << 20)
		b.Release()
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
