package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// A paused transfer is cancelled while its target is away, and its owner starts
// anew in between: the target is told as soon as it is there, though nobody asks
// for the destination again, and keeps neither lock nor directories.
func TestCancelReachesATargetThatWasAway(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2)
	src, dst := newTree(t, f.daemons[0].data).file("f", 16<<20), filepath.Join(f.daemons[1].data, "f")
	name := c.detach(t, append([]string{"cp", "--id", "x", "n1:" + src, "n2:" + dst}, slower...)...)
	c.landed(t, name, 1<<20)
	c.ok(t, "transfers", "pause", name)
	c.until(t, name, "it is paused", func(tr *xferv1.Transfer) bool { return tr.GetState() == xferv1.State_STATE_PAUSED })
	if r := c.ok(t, "transfers", "ls", "--incoming", "--node", "n2", "-o", "json"); !strings.Contains(r.stdout, "transfers/x") {
		t.Fatalf("the target does not hold it: %s", r)
	}
	f.daemons[1].kill()
	c.ok(t, "transfers", "cancel", name)
	c.until(t, name, "it is cancelled", func(tr *xferv1.Transfer) bool { return tr.GetState() == xferv1.State_STATE_CANCELLED })
	f.daemons[0].kill()
	for _, d := range f.daemons {
		if err := f.up(d); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.joined(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the target let go", func() bool {
		r := c.run(t, "transfers", "ls", "--incoming", "--node", "n2", "-o", "json")
		return r.code == 0 && !strings.Contains(r.stdout, "transfers/x")
	})
	c.ok(t, "cp", "--chunk-size", "1MiB", "n1:"+src, "n2:"+dst)
	equal(t, src, dst)
}
