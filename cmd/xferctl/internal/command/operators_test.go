package command

import (
	"strings"
	"testing"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// TestTableSaysWhatWaits: a transfer that does not move is seen in the table.
func TestTableSaysWhatWaits(t *testing.T) {
	orphan := waiting("OWNER_UNREACHABLE", "nothing was heard from its owner n1 since 12:00:00")
	list := []*xferv1.Transfer{waiting("PEER_UNREACHABLE", "x"), orphan, running(1, true), transfer(nil)}
	r := (&world{api: &fake{listing: &client.Listing{Transfers: list}}}).run(t, "transfers ls")
	lines := strings.Split(r.out, "\n")
	for i, want := range []string{"RUNNING (waits: PEER_UNREACHABLE) ", "  ORPHANED ", "  RUNNING  ", "  SUCCEEDED "} {
		if !strings.Contains(lines[1+i], want) {
			t.Errorf("%q lacks %q", lines[1+i], want)
		}
	}
}

// TestReasonOnce: a detail has its reason already.
func TestReasonOnce(t *testing.T) {
	for detail, want := range map[string]string{
		"destination move n2: it broke (PEER_LOST)": "waits: destination move n2: it broke (PEER_LOST)",
		"it broke": "waits: it broke (PEER_LOST)",
		"":         "waits: (PEER_LOST)",
	} {
		if got := watchLine(waiting("PEER_LOST", detail)); !strings.HasSuffix(got, want) {
			t.Errorf("%q", got)
		}
	}
}

// TestPausedDoesNotGoOn: neither is that said when what it waited for is not waited
// for any more, nor when somebody leaves.
func TestPausedDoesNotGoOn(t *testing.T) {
	paused := running(1, true)
	paused.State = xferv1.State_STATE_PAUSED
	f := &follower{a: &app{}, name: "nodes/n1/transfers/new", last: paused}
	if err := f.detached(130); strings.Contains(err.Error(), "the transfer goes on") || !strings.Contains(err.Error(), "transfers resume n1/new") {
		t.Error(err)
	}
	var text strings.Builder
	f = &follower{a: &app{err: &sink{w: &text}}, waits: "STATE_NO_SPACE"}
	f.newsOfWaiting(paused)
	if text.Len() > 0 {
		t.Errorf("%q", text.String())
	}
}

// TestGivenIDStandsForItsEnd: the same command with the same --id shows the same end.
func TestGivenIDStandsForItsEnd(t *testing.T) {
	over := transfer(func(t *xferv1.Transfer) {
		t.State, t.Error = xferv1.State_STATE_FAILED, &xferv1.Error{Reason: "STALLED", Message: "no progress", Hint: "running the same command again goes on from here"}
	})
	for line, want := range map[string]bool{"cp --id new n1:/a/dir n2:/b/dir": true, "cp n1:/a/dir n2:/b/dir": false} {
		r := (&world{api: &fake{full: over, waits: []wait{{t: over}}}}).run(t, line)
		if strings.Contains(r.err, "another --id, or xferctl transfers retry n1/new, goes on from here") != want {
			t.Errorf("%s: %+v", line, r)
		}
	}
}
