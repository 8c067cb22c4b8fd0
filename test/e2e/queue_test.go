package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// A node runs as many transfers as its limit says, not more; of those that wait
// the one of the highest class goes first, which an update can change, and then
// the oldest.
func TestPriorityAndConcurrency(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2, "--limits-transfers", "1")
	tree := newTree(t, f.daemons[0].data)
	tree.file("big", 64<<20)
	tree.file("small", 1000)
	dst := func(name string) string { return "n2:" + filepath.Join(f.daemons[1].data, name) }
	first := c.detach(t, append([]string{"cp", "n1:" + tree.path("big"), dst("big")}, slower...)...)
	c.landed(t, first, 1<<20)
	classes := []string{"background", "low", "normal", "high", "normal"}
	var names []string
	for i, class := range classes {
		names = append(names, c.detach(t, "cp", "--id", fmt.Sprint(i), "--priority", class, "n1:"+tree.path("small"), dst(fmt.Sprint(i))))
	}
	api := c.dial(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// What was submitted with the lowest class gets the highest.
	if _, err := api.Update(ctx, names[0], client.Change{Priority: new(xferv1.Priority_PRIORITY_SYSTEM)}); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if tr := c.get(t, name); tr.GetState() != xferv1.State_STATE_QUEUED || tr.GetStartTime() != nil {
			t.Errorf("%s is %s beside another one", name, tr.GetState())
		}
	}
	if n, err := api.GetNode(ctx, "n1"); err != nil || n.GetTransfersRunning() != 1 || n.GetTransfersQueued() != int32(len(names)) {
		t.Errorf("the node says %v, %v", n, err)
	}
	c.ok(t, "transfers", "cancel", first)
	var over []*xferv1.Transfer
	for _, name := range names {
		over = append(over, c.waitOver(t, name))
	}
	over = append(over, c.waitOver(t, first))
	slices.SortFunc(over, func(a, b *xferv1.Transfer) int {
		return a.GetStartTime().AsTime().Compare(b.GetStartTime().AsTime())
	})
	var order []string
	for i, tr := range over {
		order = append(order, tr.GetName()[strings.LastIndex(tr.GetName(), "/")+1:])
		if i > 0 && tr.GetStartTime().AsTime().Before(over[i-1].GetEndTime().AsTime()) {
			t.Errorf("%s began before %s was over", tr.GetName(), over[i-1].GetName())
		}
	}
	if got, want := strings.Join(order[1:], " "), "0 3 2 4 1"; got != want {
		t.Errorf("they ran in the order %s, want %s", got, want)
	}
}

// More than may wait is refused, as something that passes.
func TestQueueIsFull(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2, "--limits-transfers", "1", "--limits-queued", "1")
	tree := newTree(t, f.daemons[0].data)
	tree.file("big", 16<<20)
	cp := func(i int) []string {
		return append([]string{"cp", "--id", fmt.Sprint(i), "n1:" + tree.path("big"), fmt.Sprintf("n2:%s/%d", f.daemons[1].data, i)}, slower...)
	}
	running := c.detach(t, cp(1)...)
	c.landed(t, running, 1<<20)
	waiting := c.detach(t, cp(2)...)
	if r := c.exits(t, 10, cp(3)...); !strings.Contains(r.stderr, "QUEUE_FULL") {
		t.Errorf("%s", r)
	}
	c.exits(t, 3, "transfers", "show", "n1/3")
	c.ok(t, "transfers", "cancel", running, waiting)
	for _, name := range []string{running, waiting} {
		if tr := c.waitOver(t, name); tr.GetState() != xferv1.State_STATE_CANCELLED {
			t.Errorf("%s: %s", name, tr.GetState())
		}
	}
}

// Rate, deadline and labels of a transfer that runs can be changed: it goes on
// at the new rate, and ends at the new deadline.
func TestUpdateWhileItRuns(t *testing.T) {
	t.Parallel()
	c, dirs := useShared(t)
	src := newTree(t, dirs[0]).file("big", 64<<20)
	cp := func(to string) string {
		name := c.detach(t, append([]string{"cp", "n1:" + src, "n2:" + filepath.Join(dirs[1], to)}, slower...)...)
		c.landed(t, name, 1<<20)
		return name
	}
	api := c.dial(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()

	name := cp("faster")
	tr, err := api.Update(ctx, name, client.Change{MaxBytesPerSecond: new(int64(0)), Labels: &map[string]string{"changed": "yes"}})
	if err != nil || tr.GetSpec().GetLabels()["changed"] != "yes" {
		t.Fatal(tr, err)
	}
	// With the old limit it would take longer than the test waits.
	if tr := c.waitOver(t, name); tr.GetState() != xferv1.State_STATE_SUCCEEDED || tr.GetCounters().GetAttempts() != 1 {
		t.Errorf("%s after %d attempts: %v", tr.GetState(), tr.GetCounters().GetAttempts(), reasonsOf(tr))
	}

	name = cp("late")
	if _, err := api.Update(ctx, name, client.Change{Deadline: new(time.Now().Add(5 * time.Second))}); err != nil {
		t.Fatal(err)
	}
	if tr := c.waitOver(t, name); tr.GetState() != xferv1.State_STATE_FAILED || tr.GetError().GetReason() != "DEADLINE_EXCEEDED" {
		t.Errorf("%s: %v", tr.GetState(), reasonsOf(tr))
	}
	c.exits(t, 9, "transfers", "wait", name)
}
