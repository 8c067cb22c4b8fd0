package command

import (
	"strings"
	"testing"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/test/bubble"
)

func waiting(reason, detail string) *xferv1.Transfer {
	t := running(2<<30, true)
	t.WaitingReason, t.WaitingDetail = reason, detail
	return t
}

func TestWaitsFor(t *testing.T) {
	for _, c := range []struct{ reason, detail, what, why string }{
		{"PEER_UNREACHABLE", "destination connect n2: node n2 at 10.0.0.2:7440: connection refused (PEER_UNREACHABLE); is xferd running there?", "waiting for n2", "10.0.0.2:7440: connection refused (PEER_UNREACHABLE)"},
		{"PEER_LOST", "destination move n2: data plane: it broke (PEER_LOST)", "waiting for n2", "data plane: it broke (PEER_LOST)"},
		{"NODE_UNKNOWN", "destination connect n3: no such node (NODE_UNKNOWN)", "waiting", "destination connect n3: no such node (NODE_UNKNOWN)"},
		{"STATE_NO_SPACE", "destination write n2: full (STATE_NO_SPACE)", "waiting for n2", "full (STATE_NO_SPACE); free space on the file system of its state_dir"},
		{"LOCAL_FD_LIMIT", "", "waiting", "(LOCAL_FD_LIMIT)"},
	} {
		if what, why := waitsFor(waiting(c.reason, c.detail)); what != c.what || why != c.why {
			t.Errorf("%s: %q, %q", c.detail, what, why)
		}
	}
}

// TestWaitingIsTold: also where nothing shows progress, once for each reason.
func TestWaitingIsTold(t *testing.T) {
	waits := func() []wait {
		lost := waiting("PEER_LOST", "destination move n2: node n2 at h:1: the connection was closed (PEER_LOST)")
		gone := waiting("PEER_UNREACHABLE", "destination connect n2: node n2 at h:1: connection refused (PEER_UNREACHABLE); is it up?")
		run := wait{t: running(1<<30, true), block: true}
		return []wait{run, {t: lost, block: true}, {t: lost, block: true}, {t: gone, block: true}, {t: gone, block: true}, run, run, {t: transfer(nil)}}
	}
	want := "xferctl: waiting for n2: h:1: the connection was closed (PEER_LOST)\n" +
		"xferctl: waiting for n2: h:1: connection refused (PEER_UNREACHABLE)\n" +
		"xferctl: it goes on after 8.00s\n"
	for line, want := range map[string]string{"cp": want, "cp -q": "", "sync": want} {
		bubble.Test(t, func(t *testing.T) {
			w := &world{api: &fake{full: transfer(nil), waits: waits()}}
			if r := w.run(t, line+" n1:/a/dir/ n2:/b/dir/"); r.code != 0 || r.err != want {
				t.Errorf("%s: %+v", line, r)
			}
		})
	}
	bubble.Test(t, func(t *testing.T) {
		w := &world{api: &fake{full: transfer(nil), waits: waits()}}
		r := w.run(t, "cp -o json n1:/a/dir n2:/b/dir")
		if strings.Count(r.out, `"event":"waiting"`) != 2 || strings.Count(r.out, `"event":"going_on"`) != 1 || r.err != "" {
			t.Errorf("%+v", r)
		}
	})
}
