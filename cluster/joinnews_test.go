package cluster

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// lines is a log that a test reads while nodes write.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// having returns the lines that have all the parts.
func (l *lines) having(parts ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
next:
	for line := range strings.Lines(l.b.String()) {
		for _, p := range parts {
			if !strings.Contains(line, p) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}

// A node whose seeds are not there says so once, and that it found them when it
// did.
func TestAloneIsTold(t *testing.T) {
	inBubble(t, func(f *fabric) {
		var log lines
		seed := f.net.Addr()
		f.seeds = []string{seed.String(), "no-such-name:1"}
		logged := func(c *Config) { c.Log, c.Resolver = slog.New(slog.NewTextHandler(&log, nil)), names{} }
		f.start("n1", logged)
		time.Sleep(10 * time.Minute)
		alone := log.having("level=WARN", "could be joined", "seeds=", seed.String()+": ", "no-such-name:1: ")
		if len(alone) != 1 || len(log.having("level=WARN")) != 1 {
			t.Errorf("told %d times:\n%s", len(alone), &log.b)
		}
		time.Sleep(2 * tellAgain)
		if n := len(log.having("level=WARN", "could be joined")); n < 2 || n > 4 {
			t.Errorf("told %d times in more than an hour", n)
		}
		if n := len(log.having("joined the cluster")); n != 0 {
			t.Errorf("told of success %d times", n)
		}
		f.startAt("n2", seed, func(c *Config) { c.Join = nil })
		f.eventually(2*time.Minute, "success to be told", func() bool {
			return len(log.having("level=INFO", "joined the cluster", "others=1")) == 1
		})
		time.Sleep(10 * time.Minute)
		if n := len(log.having("joined the cluster")); n != 1 {
			t.Errorf("success was told %d times", n)
		}
		if found := log.having("level=WARN", "cannot be looked up", "no-such-name:1: no such host"); len(found) != 1 {
			t.Errorf("a name that cannot be looked up was told %d times beside a node that is here", len(found))
		}
	})
}

// A node that is told a seed of another cluster says what that looks like.
func TestOtherClusterIsTold(t *testing.T) {
	var log lines
	start := func(cluster string, seeds ...string) *Cluster {
		c, err := New(Config{
			NodeID: "n-" + cluster, Cluster: cluster, Bind: "127.0.0.1:0", Profile: Local, Join: StaticJoin(seeds...),
			Meta: Meta{Control: netip.MustParseAddrPort("127.0.0.1:1")}, Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := c.Run(t.Context()); err != nil {
				t.Error(err)
			}
		})
		t.Cleanup(func() { _ = c.Close(); wg.Wait() })
		return c
	}
	a := start("a")
	start("b", a.Addr().String())
	deadline := time.After(patience)
	for len(log.having("could be joined", a.Addr().String(), "another cluster")) == 0 {
		select {
		case <-deadline:
			t.Fatalf("not told:\n%s", &log.b)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
