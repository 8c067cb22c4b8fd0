package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestWatchTellsChanges(t *testing.T) {
	inBubble(t, func(f *fabric) {
		a := f.start("n1")
		watched := make(chan Event, 100)
		wctx, stop := context.WithCancel(f.t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for ev := range a.Watch(wctx) {
				watched <- ev
			}
		}()
		var last uint64
		next := func() string {
			t.Helper()
			select {
			case ev := <-watched:
				if ev.Revision <= last {
					t.Errorf("revision %d after %d", ev.Revision, last)
				}
				last = ev.Revision
				return fmt.Sprintf("%s %s %s", ev.Member.ID, ev.Kind, ev.Member.State)
			case <-time.After(time.Minute):
				return "nothing"
			}
		}
		expect := func(want string) {
			t.Helper()
			if got := next(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		expect("n1 JOINED ALIVE")
		b := f.start("n2")
		expect("n2 JOINED ALIVE")
		if err := b.SetDraining(true); err != nil {
			t.Fatal(err)
		}
		expect("n2 UPDATED DRAINING")
		time.Sleep(2 * time.Second)
		if err := b.SetDraining(false); err != nil {
			t.Fatal(err)
		}
		expect("n2 UPDATED ALIVE")
		b.leave()
		expect("n2 LEFT LEFT")
		c := f.start("n2")
		expect("n2 JOINED ALIVE")
		f.kill(c)
		expect("n2 FAILED FAILED")
		expect("nothing")
		stop()
		<-ended
	})
}

// A watcher that does not look for long sees the last word, once per member.
func TestEventsCoalesce(t *testing.T) {
	inBubble(t, func(f *fabric) {
		a, b := f.start("n1"), f.start("n2")
		f.eventually(5*time.Second, "join", func() bool { return a.state("n2") == Alive })
		_, rev, _ := a.Since(0)
		for i := range 5 {
			if err := b.UpdateMeta(func(m *Meta) { m.Zone = fmt.Sprint(i) }); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
		}
		events, now, _ := a.Since(rev)
		if len(events) != 1 || events[0].Kind != Updated || events[0].Member.Zone != "4" || now < rev+5 {
			t.Errorf("events %+v, revision %d after %d", events, now, rev)
		}
		b.leave()
		f.start("n2")
		f.eventually(5*time.Second, "join", func() bool { return a.state("n2") == Alive })
		if events, _, _ := a.Since(now); len(events) != 1 || events[0].Kind != Joined {
			t.Errorf("events %+v", events)
		}
	})
}

func TestUpdatesAreRateLimited(t *testing.T) {
	inBubble(t, func(f *fabric) {
		a, b := f.start("n1"), f.start("n2")
		f.eventually(5*time.Second, "join", func() bool { return a.state("n2") == Alive })
		_, before, _ := a.Since(0)
		for i := range 1000 {
			if err := b.UpdateMeta(func(m *Meta) { m.Rack = fmt.Sprint(i) }); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		f.eventually(5*time.Second, "last update", func() bool {
			m, _ := a.Lookup("n2")
			return m.Rack == "999"
		})
		if _, after, _ := a.Since(0); after-before > 15 {
			t.Errorf("%d updates in 10 s", after-before)
		}
		if err := b.UpdateMeta(func(m *Meta) { m.Rack = strings.Repeat("x", 33) }); err == nil {
			t.Error("a rack of 33 bytes was taken")
		}
		if err := b.UpdateMeta(func(m *Meta) { m.Zone = "\n" }); err == nil {
			t.Error("a line break was taken")
		}
	})
}

func TestWaitJoined(t *testing.T) {
	inBubble(t, func(f *fabric) {
		a := f.start("n1")
		short, cancel := context.WithTimeout(f.t.Context(), time.Second)
		defer cancel()
		if err := a.WaitJoined(short, 2); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("alone: %v", err)
		}
		f.start("n2")
		if err := a.WaitJoined(f.t.Context(), 2); err != nil {
			t.Error(err)
		}
		result := make(chan error)
		go func() { result <- a.WaitJoined(f.t.Context(), 3) }()
		a.leave()
		if err := <-result; err == nil {
			t.Error("no error from a cluster that ended")
		}
	})
}

func TestForeignClusterIsNotHeard(t *testing.T) {
	inBubble(t, func(f *fabric) {
		a := f.start("n1")
		f.start("n2", func(c *Config) { c.Cluster = "other" })
		time.Sleep(2 * time.Minute)
		if n := len(a.Members()); n != 1 {
			t.Errorf("%d members", n)
		}
		if a.Stats().Foreign == 0 {
			t.Error("not counted")
		}
	})
}

func TestKeys(t *testing.T) {
	key := func(b byte) []byte { return []byte(strings.Repeat(string(rune(b)), 32)) }
	with := func(keys ...[]byte) func(*Config) { return func(c *Config) { c.KeyringKeys = keys } }
	inBubble(t, func(f *fabric) {
		a := f.start("n1", with(key('a')))
		b := f.start("n2", with(key('a')))
		f.start("n3", with(key('b')))
		f.start("n4")
		time.Sleep(2 * time.Minute)
		if len(a.Members()) != 2 || !allSee([]*running{a, b}, Alive) {
			t.Errorf("n1 sees %s", a.summary())
		}
		if m, _ := a.Lookup("n2"); !m.Capabilities.Has(CapGossipKey) {
			t.Error("the key does not show")
		}
		if a.Stats().Undecryptable == 0 {
			t.Error("not counted")
		}
		// Rotation in three steps keeps everybody in.
		for _, keys := range [][][]byte{{key('a'), key('c')}, {key('c'), key('a')}, {key('c')}} {
			for _, r := range []*running{a, b} {
				if err := r.SetKeys(keys); err != nil {
					t.Fatal(err)
				}
				time.Sleep(20 * time.Second)
			}
		}
		c := f.start("n5", with(key('c')))
		f.eventually(5*time.Second, "join with the new key", func() bool { return allSee([]*running{a, b, c}, Alive) })
		if err := a.SetKeys(nil); err == nil {
			t.Error("encryption was turned off")
		}
		if err := a.SetKeys([][]byte{[]byte("short")}); err == nil {
			t.Error("a short key was taken")
		}
	})
}

// logLines keeps what is logged.
type logLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(p))
	return len(p), nil
}

func TestGossipLog(t *testing.T) {
	var out logLines
	s := &stats{}
	g := newGossipLog(slog.New(slog.NewTextHandler(&out, nil)), s)
	l := g.logger()
	l.Printf("[DEBUG] memberlist: hidden")
	l.Printf("[ERR] memberlist: Failed to do %s", "it")
	l.Printf("[INFO] memberlist: %s", strings.Repeat("x", 2000))
	for range 1000 {
		l.Printf("[ERR] memberlist: discarding packet with unacceptable label %q: from=%s", "xferd/b", "10.0.0.1:1")
	}
	if n := len(out.lines); n < 3 || n > 40 {
		t.Fatalf("%d lines", n)
	}
	if !strings.Contains(out.lines[0], `level=WARN msg=gossip detail="Failed to do it"`) {
		t.Errorf("first line: %s", out.lines[0])
	}
	if len(out.lines[1]) > 600 {
		t.Errorf("long line: %d", len(out.lines[1]))
	}
	if n := s.foreign.Load(); n != 1000 {
		t.Errorf("%d counted", n)
	}
}
