package lifecycle

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xferd/xferd/transfer"
)

// logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) lines(with string) (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		if strings.Contains(line, with) {
			all = append(all, line)
		}
	}
	return all
}

// The log tells of a wait once for each reason, and of its end.
func TestWaitingIsLoggedOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		defer r.stop()
		var log logBuffer
		r.e.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
		r.submit("a")
		first := <-r.edges
		first.obs.Opened(&transfer.Opened{})
		if n := len(log.lines("transfer goes on")); n != 0 {
			t.Errorf("it goes on %d times before it waited", n)
		}
		r.peers.fail(unreachable())
		first.end <- lost
		time.Sleep(time.Minute)
		synctest.Wait()
		waits := log.lines("transfer waits")
		if len(waits) != 2 || !strings.Contains(waits[0], "reason=PEER_LOST") || !strings.Contains(waits[1], "reason=PEER_UNREACHABLE") {
			t.Fatalf("waits are logged as %q", waits)
		}
		for _, want := range []string{"level=INFO", "transfer=nodes/n1/transfers/a", "target=n2", "no route", "next_attempt="} {
			if !strings.Contains(waits[1], want) {
				t.Errorf("%q is not in %s", want, waits[1])
			}
		}
		r.peers.fail(nil)
		second := <-r.edges
		second.obs.Opened(&transfer.Opened{})
		if n := len(log.lines("transfer goes on")); n != 1 {
			t.Errorf("it goes on %d times", n)
		}
		r.peers.fail(&transfer.Error{Reason: transfer.PeerUnreachable, Err: errors.New("again")})
		second.end <- lost
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(log.lines("transfer waits")); n != 4 {
			t.Errorf("%d waits, want those after it went on too", n)
		}
	})
}
