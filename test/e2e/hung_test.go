package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/xferd/xferd/test/needs"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// A file system of the target, or of the owner, stops to answer. The transfers that need
// it wait and end by the stall timeout; they can be looked at and cancelled meanwhile, and
// everything else goes on at that node.
func TestHungFileSystem(t *testing.T) {
	t.Parallel()
	for node, role := range []string{"Owner", "Target"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			c, f := useFarm(t, 2, "--times-stall", "10s")
			mnt := newTree(t, f.daemons[node].data).dir("hung")
			fs := needs.HungAt(t, mnt)
			src, dst := newTree(t, f.daemons[0].data).file("f", 3<<20), filepath.Join(f.daemons[1].data, "f")
			from, to := src, filepath.Join(mnt, "f")
			if role == "Owner" {
				from, to = mnt, dst+"2"
			}
			fs.Hang()
			stuck := beside(t, c, "cp", "--id", "stuck", "n1:"+from, "n2:"+to)
			<-fs.Waiting()

			c.ok(t, "nodes")
			c.ok(t, "transfers", "ls")
			c.ok(t, "cp", "n1:"+src, "n2:"+dst)
			c.ok(t, "cp", "n2:"+dst, "n1:"+src+"3")
			equal(t, src, src+"3")
			if role == "Target" {
				// The owner answers for it: it is accepted, and cancelled.
				if tr := c.get(t, "nodes/n1/transfers/stuck"); tr.GetState() != xferv1.State_STATE_RUNNING {
					t.Errorf("the state is %s", tr.GetState())
				}
				c.ok(t, "transfers", "cancel", "n1/stuck")
				if tr := c.waitOver(t, "nodes/n1/transfers/stuck"); tr.GetState() != xferv1.State_STATE_CANCELLED {
					t.Errorf("the state is %s", tr.GetState())
				}
				tr := c.transfer(t, 10, "cp", "--id", "second", "n1:"+from, "n2:"+to)
				if tr.GetState() != xferv1.State_STATE_FAILED || !slices.Contains([]string{"STALLED", "PEER_LOST", "NODE_BUSY"}, tr.GetError().GetReason()) {
					t.Errorf("%s: %v", tr.GetState(), reasonsOf(tr))
				}
			}

			fs.Release()
			if _, err := stuck.wait(); err != nil {
				t.Error(err)
			}
			eventually(t, "it is free again", func() bool {
				left, err := temps(f.daemons[1].data)
				return err == nil && len(left) == 0
			})
			if err := os.Remove(src + "3"); err != nil {
				t.Error(err)
			}
		})
	}
}

// beside starts an xferctl that the test goes on beside.
func beside(t *testing.T, c *ctl, args ...string) *process {
	t.Helper()
	p, err := start("xferctl", environ("XFERCTL_SERVER="+c.server), program("xferctl"), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}
