package e2e

import (
	"fmt"
	"path/filepath"
	"testing"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// Two nodes that take one transfer at a time each, and send to each other: those
// that have no place wait and say why, and all of them end. Copies inside a node
// need no place.
func TestIncomingLimit(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2, "--limits-incoming", "1")
	for _, d := range f.daemons {
		tree := newTree(t, d.data)
		tree.file("big", 64<<20)
		tree.file("small", 1000)
	}
	at := func(i int, name string) string {
		return fmt.Sprintf("n%d:%s", i, filepath.Join(f.daemons[i-1].data, name))
	}
	cp := func(from, to int, src, dst string, flags ...string) string {
		return c.detach(t, append([]string{"cp"}, append(flags, at(from, src), at(to, dst))...)...)
	}
	holder := cp(1, 2, "big", "copy", slower...)
	c.landed(t, holder, 1<<20)
	back := cp(2, 1, "big", "copy", slower...) // its place is at the other node
	c.landed(t, back, 1<<20)

	var waiting []string
	for i := range 3 {
		waiting = append(waiting, cp(1, 2, "small", fmt.Sprintf("s%d", i)), cp(2, 1, "small", fmt.Sprintf("s%d", i)))
	}
	for _, name := range waiting {
		if !poll(func() bool { return c.get(t, name).GetWaitingReason() == "NODE_BUSY" }) {
			t.Errorf("%s is %v and waits for %q", name, c.get(t, name).GetState(), c.get(t, name).GetWaitingReason())
		}
	}
	c.ok(t, "cp", at(2, "small"), at(2, "inside"))

	// A pause makes room, and the resume goes on beside those that came since.
	c.ok(t, "transfers", "pause", holder)
	if !poll(func() bool { return c.get(t, holder).GetState() == xferv1.State_STATE_PAUSED }) {
		t.Fatal("it is not paused")
	}
	c.ok(t, "transfers", "resume", holder)
	before := c.get(t, holder).GetCounters().GetBytesDone()
	c.landed(t, holder, before+1<<20)

	c.ok(t, "transfers", "cancel", holder, back)
	for _, name := range waiting {
		if tr := c.waitOver(t, name); tr.GetState() != xferv1.State_STATE_SUCCEEDED {
			t.Errorf("%s: %s, %v", name, tr.GetState(), reasonsOf(tr))
		}
	}
	for _, name := range []string{holder, back} {
		c.waitOver(t, name)
	}
}
