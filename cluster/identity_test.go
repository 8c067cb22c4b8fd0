package cluster

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

type ctx = context.Context

func TestRestartOnNewAddress(t *testing.T) {
	inBubble(t, func(f *fabric) {
		a, b, c := f.start("n1"), f.start("n2"), f.start("n3")
		nodes := []*running{a, b, c}
		f.eventually(10*time.Second, "join", func() bool { return allSee(nodes, Alive) })
		f.kill(c)
		c2 := f.start("n3")
		d := f.eventually(5*time.Second, "restart", func() bool {
			for _, r := range []*running{a, b} {
				if m, _ := r.Lookup("n3"); m.Instance != c2.Instance() || m.State != Alive || m.Gossip != c2.at {
					return false
				}
			}
			return true
		})
		t.Logf("new address known after %v", d)
		time.Sleep(2 * time.Minute) // the death of the old instance must change nothing
		if m, _ := a.Lookup("n3"); m.State != Alive || m.Gossip != c2.at || m.Duplicate {
			t.Errorf("n3 is %+v", m)
		}
		if n := a.Stats().Conflicts + b.Stats().Conflicts + c2.Stats().Conflicts; n != 0 {
			t.Errorf("a restart counted as %d conflicts", n)
		}
		select {
		case <-c2.ended:
			t.Errorf("the restarted node ended: %v", c2.err)
		default:
		}
	})
}

func TestRestartOnSameAddress(t *testing.T) {
	inBubble(t, func(f *fabric) {
		a, b := f.start("n1"), f.start("n2")
		f.eventually(10*time.Second, "join", func() bool { return allSee([]*running{a, b}, Alive) })
		f.kill(b)
		b2 := f.startAt("n2", b.at)
		f.eventually(5*time.Second, "restart", func() bool {
			m, _ := a.Lookup("n2")
			return m.Instance == b2.Instance() && m.State == Alive
		})
		time.Sleep(2 * time.Minute)
		if m, _ := a.Lookup("n2"); m.State != Alive || m.Instance != b2.Instance() {
			t.Errorf("n2 is %+v", m)
		}
	})
}

func TestDuplicateNodeIsRefused(t *testing.T) {
	inBubble(t, func(f *fabric) {
		a, b := f.start("n1"), f.start("n2")
		f.eventually(10*time.Second, "join", func() bool { return allSee([]*running{a, b}, Alive) })
		time.Sleep(2 * time.Minute)
		twin := f.start("n2")
		f.eventually(20*time.Second, "refusal", func() bool {
			select {
			case <-twin.ended:
				return true
			default:
				return false
			}
		})
		if !errors.Is(twin.err, ErrDuplicateNode) {
			t.Fatalf("twin ended with %v", twin.err)
		}
		f.eventually(30*time.Second, "the first n2 to be back", func() bool {
			m, _ := a.Lookup("n2")
			return m.State == Alive && m.Instance == b.Instance()
		})
		select {
		case <-b.ended:
			t.Fatalf("the first n2 ended: %v", b.err)
		default:
		}
	})
}

// A twin of the only seed hears of its double when that one calls.
func TestDuplicateOfSeed(t *testing.T) {
	inBubble(t, func(f *fabric) {
		a := f.start("n1")
		time.Sleep(time.Second)
		twin := f.start("n1")
		f.eventually(20*time.Second, "refusal", func() bool {
			select {
			case <-twin.ended:
				return true
			default:
				return false
			}
		})
		if !errors.Is(twin.err, ErrDuplicateNode) {
			t.Fatalf("twin ended with %v", twin.err)
		}
		time.Sleep(time.Minute)
		select {
		case <-a.ended:
			t.Fatalf("the first ended: %v", a.err)
		default:
		}
	})
}

// Twins that could not see each other at the start both live on, and everybody
// is told.
func TestLateDuplicateIsAlarm(t *testing.T) {
	inBubble(t, func(f *fabric) {
		a, b := f.start("n1"), f.start("n2")
		time.Sleep(time.Second) // the twin is the newer one
		var open atomic.Bool
		twin := f.start("n2", func(c *Config) {
			c.Join = func() []string {
				if open.Load() {
					return f.seeds
				}
				return nil
			}
		})
		time.Sleep(10 * time.Minute)
		if twin.state("n1") != 0 || a.Stats().Conflicts != 0 {
			t.Fatal("the twin was seen too early")
		}
		open.Store(true)
		f.eventually(5*time.Minute, "alarm", func() bool {
			m, _ := a.Lookup("n2")
			return m.Duplicate && m.Instance == twin.Instance() && a.Stats().Conflicts > 0
		})
		f.eventually(time.Minute, "alarm at the twins", func() bool {
			return b.Stats().Conflicts > 0 && twin.Stats().Conflicts > 0
		})
		for _, r := range []*running{b, twin} {
			select {
			case <-r.ended:
				t.Fatalf("a twin ended: %v", r.err)
			default:
			}
		}
		twin.leave()
		f.eventually(time.Minute, "calm", func() bool {
			m, _ := a.Lookup("n2")
			return !m.Duplicate && m.Instance == b.Instance() && m.State == Alive
		})
	})
}
