package pace

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/xferd/xferd/test/bubble"
)

// TestRate: several streams together keep the limit.
func TestRate(t *testing.T) {
	for _, limit := range []int64{1000, 1 << 20, 10 << 30} {
		bubble.Test(t, func(t *testing.T) {
			p := New(limit)
			start := time.Now()
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for left := int(2 * limit); left > 0; {
						n := p.Step(left)
						if err := p.Wait(t.Context(), int64(n)); err != nil {
							t.Error(err)
						}
						left -= n
					}
				})
			}
			wg.Wait()
			total := 8 * limit
			least := time.Duration(float64(total-int64(stepFor(limit))) / float64(limit) * 0.99 * float64(time.Second))
			if d := time.Since(start); d < least || d > 9*time.Second {
				t.Errorf("%d bytes at %d B/s in %v", total, limit, d)
			}
		})
	}
}

func TestChange(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := New(1)
		done := make(chan time.Duration)
		start := time.Now()
		go func() {
			if err := p.Wait(t.Context(), 10<<20); err != nil {
				t.Error(err)
			}
			done <- time.Since(start)
		}()
		time.Sleep(time.Minute)
		p.Set(1 << 20) // ten seconds more
		time.Sleep(time.Second)
		p.Set(0)
		if d := <-done; d != time.Minute+time.Second {
			t.Errorf("waited %v", d)
		}
	})
}

func TestCancel(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := New(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Wait(ctx, 1<<20); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait: %v", err)
		}
	})
}

func TestNoLimit(t *testing.T) {
	p := New(0)
	if err := p.Wait(t.Context(), 1<<40); err != nil || p.Step(12345) != 12345 || p.Crawls(9) || p.Rate() != 0 {
		t.Error("limited without a limit")
	}
	p.Set(1 << 10)
	if !p.Crawls(1) || p.Rate() != 1<<10 {
		t.Error("not limited with a limit")
	}
}
