package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// The state directory of the owner, or of the target, becomes full beside transfers
// that run: they can be listed and cancelled, nothing of them is left at the
// destination, and with room the same command goes on.
func TestP3StateBecomesFullBesideTransfers(t *testing.T) {
	t.Parallel()
	for node, role := range []string{"Owner", "Target"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			f, state := fullable(t, node, "size=4m")
			c := &ctl{server: f.daemons[0].server()}
			src, dst := filepath.Join(f.daemons[0].data, "src"), filepath.Join(f.daemons[1].data, "dst")
			newTree(t, src).file("large", 16<<20)
			name := c.detach(t, "cp", "--bwlimit", "1MiB", "--chunk-size", "1MiB", "n1:"+src, "n2:"+dst)
			c.landed(t, name, 1<<20)
			filler := filepath.Join(state, "filler")
			fill(t, filler)

			if r := c.ok(t, "transfers", "ls"); !strings.Contains(r.stdout, filepath.Base(name)) {
				t.Errorf("the list is\n%s", r)
			}
			if r := c.run(t, "cp", "n1:"+src, "n2:"+dst+"2"); r.code != 8 || !strings.Contains(r.stderr, "STATE_NO_SPACE") {
				t.Errorf("one more: %s", r)
			}
			c.ok(t, "transfers", "cancel", "--purge", name)
			if tr := c.waitOver(t, name); tr.GetState() != xferv1.State_STATE_CANCELLED {
				t.Errorf("the state is %s: %v", tr.GetState(), tr.GetError())
			}
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			eventually(t, "nothing is left at the destination", func() bool {
				left, err := temps(f.daemons[1].data)
				return err == nil && len(left) == 0
			})
			if _, err := os.Lstat(filepath.Join(dst, "large")); !os.IsNotExist(err) {
				t.Errorf("the file is there: %v", err)
			}
			eventually(t, "transfers are accepted again", func() bool { return c.run(t, "cp", "n1:"+src, "n2:"+dst).code == 0 })
			equal(t, src, dst)
		})
	}
}

// fullable starts two nodes, one of which has its state directory on a tmpfs of its
// own.
func fullable(t *testing.T, node int, options string) (f *farm, state string) {
	t.Helper()
	f = &farm{dir: newDir(t)}
	t.Cleanup(func() {
		if err := f.stop(); err != nil {
			t.Error(err)
		}
	})
	state = filepath.Join(newDir(t), "state")
	small(t, state, options)
	for i, name := range []string{"n1", "n2"} {
		var more []string
		if i == node {
			more = []string{"--state-dir", state}
		}
		if err := f.add(name, more...); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.joined(); err != nil {
		t.Fatal(err)
	}
	return f, state
}

// A transfer that was accepted waits while the state directory of its owner, or of its
// target, is full: it says so, and goes on by itself when there is room.
func TestP3TransfersWaitForRoomInTheState(t *testing.T) {
	t.Parallel()
	for node, role := range []string{"Owner", "Target"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			f, state := fullable(t, node, "size=8m")
			c := &ctl{server: f.daemons[0].server()}
			src, dst := filepath.Join(f.daemons[0].data, "src"), filepath.Join(f.daemons[1].data, "dst")
			tr := newTree(t, src)
			for i := range 6000 { // what is noted of each does not fit into what is reserved
				tr.file(fmt.Sprintf("%04d", i), 2000)
			}
			name := c.detach(t, "cp", "--bwlimit", "4MiB", "n1:"+src, "n2:"+dst)
			c.landed(t, name, 1<<20)
			filler := filepath.Join(state, "filler")
			fill(t, filler)

			c.until(t, name, "it waits for room", func(tr *xferv1.Transfer) bool {
				if tr.GetState() != xferv1.State_STATE_RUNNING {
					t.Fatalf("it is %s: %v", tr.GetState(), tr.GetError())
				}
				return tr.GetWaitingReason() == "STATE_NO_SPACE" && strings.Contains(tr.GetWaitingDetail(), "state")
			})
			if r := c.ok(t, "transfers", "ls"); !strings.Contains(r.stdout, filepath.Base(name)) {
				t.Errorf("the list is\n%s", r)
			}
			if r := c.run(t, "cp", "n1:"+src, "n2:"+dst+"2"); r.code != 8 || !strings.Contains(r.stderr, "STATE_NO_SPACE") {
				t.Errorf("one more: %s", r)
			}
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			if tr := c.waitOver(t, name); tr.GetState() != xferv1.State_STATE_SUCCEEDED {
				t.Errorf("it ended %s: %v", tr.GetState(), tr.GetError())
			}
			equal(t, src, dst)
			if left, err := temps(f.daemons[1].data); err != nil || len(left) > 0 {
				t.Errorf("temporary files are left: %v, %v", left, err)
			}
		})
	}
}
