package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// A daemon ends in the middle, well or badly, and comes back: the transfer goes
// on by itself, ends equal, and does not begin again.
func TestP3DaemonRestartsInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"n1", "n2"} {
		for _, how := range []string{"SIGTERM", "SIGKILL"} {
			t.Run(who+"_"+how, func(t *testing.T) {
				t.Parallel()
				c, f := useFarm(t, 2)
				src, dst := filepath.Join(f.daemons[0].data, "src"), filepath.Join(f.daemons[1].data, "dst")
				tree := newTree(t, src)
				for i := range 300 {
					tree.file(fmt.Sprintf("small/%d/%d", i%11, i), 1000+i)
				}
				tree.file("large", 24<<20)
				tree.sparse()
				name := c.detach(t, append([]string{"cp", "-a", "n1:" + src, "n2:" + dst}, slowly...)...)
				c.landed(t, name, 8<<20)
				d := must(f.daemon(who))(t)
				bounce(t, f, d, how)
				tr := c.waitOver(t, name)
				if tr.GetState() != xferv1.State_STATE_SUCCEEDED {
					t.Fatalf("%s: %v", tr.GetState(), reasonsOf(tr))
				}
				equal(t, src, dst)
				noTemps(t, f.daemons[0].data, f.daemons[1].data)
				// What had landed was not moved again, apart from what was under way.
				if n := moved(tr); n > 24<<20+10<<20 {
					t.Errorf("%d bytes were moved", n)
				}
				again := c.transfer(t, 0, "cp", "-a", "n1:"+src, "n2:"+dst)
				if n := moved(again); n != 0 {
					t.Errorf("the same command moved %d bytes afterwards", n)
				}
			})
		}
	}
}

// bounce ends a daemon and starts it again.
func bounce(t *testing.T, f *farm, d *daemon, how string) {
	t.Helper()
	if how == "SIGKILL" {
		d.kill()
		if err := d.health(); err != nil {
			t.Error(err)
		}
	} else if err := d.stop(); err != nil {
		t.Error(err)
	}
	if err := f.up(d); err != nil {
		t.Fatal(err)
	}
}

// The owner dies again and again while it copies thousands of small files.
func TestP3ManySmallFilesAndManyCrashes(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2)
	src, dst := filepath.Join(f.daemons[0].data, "src"), filepath.Join(f.daemons[1].data, "dst")
	tree := newTree(t, src)
	for i := range 3000 {
		tree.file(fmt.Sprintf("%d/%d", i%31, i), i)
	}
	name := c.detach(t, "cp", "-a", "--bwlimit", "2MiB", "--chunk-size", "1MiB", "n1:"+src, "n2:"+dst)
	for i := range 4 {
		enough := int64(i+1) * 500
		c.until(t, name, "more files are done", func(tr *xferv1.Transfer) bool {
			k := tr.GetCounters()
			return k.GetFilesCopied()+k.GetFilesSame() >= enough
		})
		bounce(t, f, f.daemons[i%2], "SIGKILL")
	}
	tr := c.waitOver(t, name)
	if tr.GetState() != xferv1.State_STATE_SUCCEEDED {
		t.Fatalf("%s: %v", tr.GetState(), reasonsOf(tr))
	}
	equal(t, src, dst)
	noTemps(t, f.daemons[1].data)
}

// A node that is known and down is waited for.
func TestP3TargetIsDownBefore(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2)
	src, dst := filepath.Join(f.daemons[0].data, "src"), filepath.Join(f.daemons[1].data, "dst")
	newTree(t, src).file("f", 1000)
	f.daemons[1].kill()
	name := c.detach(t, "cp", "n1:"+src, "n2:"+dst)
	waiting := c.until(t, name, "it says what it waits for", func(tr *xferv1.Transfer) bool { return tr.GetWaitingReason() != "" })
	if waiting.GetState() != xferv1.State_STATE_RUNNING || !strings.HasPrefix(waiting.GetWaitingReason(), "PEER_") {
		t.Errorf("%s, waiting for %q: %s", waiting.GetState(), waiting.GetWaitingReason(), waiting.GetWaitingDetail())
	}
	if err := f.up(f.daemons[1]); err != nil {
		t.Fatal(err)
	}
	if tr := c.waitOver(t, name); tr.GetState() != xferv1.State_STATE_SUCCEEDED {
		t.Errorf("%s: %v", tr.GetState(), reasonsOf(tr))
	}
	equal(t, src, dst)

	// The owner is down: the call cannot be made, and can be made later.
	other := &ctl{server: f.daemons[1].server()}
	f.daemons[0].kill()
	if r := other.exits(t, 10, "cp", "n1:"+src, "n2:"+dst); !strings.Contains(r.stderr, "OWNER_UNREACHABLE") && !strings.Contains(r.stderr, "NODE_UNKNOWN") {
		t.Errorf("%s", r)
	}
	if r := other.exits(t, 5, "transfers", "ls"); !strings.Contains(r.stderr, "n1") {
		t.Errorf("%s", r)
	}
}

// xferctl follows its transfer through a restart of the daemon that it talks to.
func TestP3ClientFollowsThroughARestart(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2)
	src, dst := filepath.Join(f.daemons[0].data, "f"), filepath.Join(f.daemons[1].data, "f")
	newTree(t, f.daemons[0].data).file("f", 16<<20)
	p, err := start("xferctl", environ("XFERCTL_SERVER="+c.server), program("xferctl"), append([]string{"cp", "--id", "x", "n1:" + src, "n2:" + dst}, slowly...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	c.landed(t, "nodes/n1/transfers/x", 4<<20)
	bounce(t, f, f.daemons[0], "SIGKILL")
	if code, err := p.wait(); err != nil || code != 0 {
		t.Errorf("exit %d, %v\n%s%s", code, err, p.stdout.String(), p.stderr.String())
	}
	equal(t, src, dst)
}

// A transfer that is cancelled, or fails, leaves whole files or none, and no
// directory of its own making that is empty; and never harms what was there.
func TestP5P6CancelledLeavesNothing(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2)
	src, dst := filepath.Join(f.daemons[0].data, "src"), filepath.Join(f.daemons[1].data, "a/b/dst")
	tree := newTree(t, src)
	tree.file("sub/deep/large", 16<<20)
	name := c.detach(t, append([]string{"cp", "n1:" + src, "n2:" + dst}, slower...)...)
	c.landed(t, name, 1<<20)
	c.ok(t, "transfers", "cancel", "--purge", name)
	if tr := c.waitOver(t, name); tr.GetState() != xferv1.State_STATE_CANCELLED {
		t.Errorf("%s", tr.GetState())
	}
	noTemps(t, f.daemons[1].data)
	if left := must(os.ReadDir(f.daemons[1].data))(t); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}

	// With files that were there before, and crashes of both after the cancel.
	there := newTree(t, dst)
	there.file("sub/mine", 1000)
	there.file("sub/deep/large", 5000)
	before := must(survey(dst, nil))(t)
	name = c.detach(t, append([]string{"cp", "n1:" + src, "n2:" + dst}, slower...)...)
	c.landed(t, name, 1<<20)
	c.ok(t, "transfers", "cancel", "--purge", name)
	bounce(t, f, f.daemons[1], "SIGKILL")
	bounce(t, f, f.daemons[0], "SIGKILL")
	if tr := c.waitOver(t, name); tr.GetState() != xferv1.State_STATE_CANCELLED {
		t.Errorf("%s", tr.GetState())
	}
	for path, was := range before {
		if now := must(look(filepath.Join(dst, path)))(t); was.kind == syscall.S_IFREG && now != was {
			t.Errorf("%s is not what it was: %+v", path, now)
		}
	}
	eventually(t, "no temporary files are left", func() bool { return len(must(temps(f.daemons[1].data))(t)) == 0 })
}
