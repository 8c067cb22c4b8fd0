package command

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// TestWatchShowsNews: not history, and nothing twice in a row.
func TestWatchShowsNews(t *testing.T) {
	named := func(name string, from *xferv1.Transfer, change func(*xferv1.Transfer)) client.Event {
		return client.Event{Transfer: clone(from, func(t *xferv1.Transfer) {
			t.Name = "nodes/" + name
			if change != nil {
				change(t)
			}
		})}
	}
	over, live := transfer(nil), running(1<<30, true)
	now := func(t *xferv1.Transfer) { t.EndTime = timestamppb.New(time.Now().Add(time.Hour)) }
	api := &fake{events: []client.Event{
		named("n1/transfers/history", over, nil),
		named("n1/transfers/live", live, nil),
		{CaughtUp: true},
		named("n1/transfers/live", live, func(t *xferv1.Transfer) { t.Counters.DirsMade++ }), // nothing that is shown
		named("n1/transfers/live", running(2<<30, true), nil),
		named("n1/transfers/live", over, nil),
		named("n1/transfers/quick", over, nil),
		named("n1/transfers/history", over, nil), // all is told anew
		{Returned: &xferv1.OwnerReturned{Node: "n2", FromBeginning: true}},
		named("n2/transfers/history", over, nil),
		named("n2/transfers/new", over, now),
	}}
	names := func(out string) string {
		var names []string
		for l := range strings.Lines(out) {
			names = append(names, strings.Fields(l)[2])
		}
		return strings.Join(names, " ")
	}
	if r := (&world{api: api}).run(t, "transfers watch"); names(r.out) != "n1/live n1/live n1/live n1/quick n2/new" {
		t.Errorf("%+v", r)
	}
	if r := (&world{api: api}).run(t, "transfers watch --all"); names(r.out) != "n1/history n1/live n1/live n1/live n1/quick n2/history n2/new" {
		t.Errorf("%+v", r)
	}
	r := (&world{api: api}).run(t, "transfers watch -o json")
	if n := strings.Count(r.out, `"event":"transfer"`); n != 6 || strings.Contains(r.out, "n1/transfers/history") || strings.Contains(r.out, "n2/transfers/history") {
		t.Errorf("%d: %+v", n, r)
	}
	if r := (&world{api: api}).run(t, "transfers watch --all n1/live"); r.code != 2 || !strings.Contains(r.err, "--all selects among all") {
		t.Errorf("%+v", r)
	}
}
