package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// A target that is lost in the middle and does not come back: the transfer waits,
// says so, and fails when its time is over, be that the stall timeout or its
// deadline. When the node is back, the same command goes on from there.
func TestTargetIsLostInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		flags   []string // of the daemons
		options []string
		code    int
		reasons string
	}{
		{"Stalled", []string{"--times-stall", "5s"}, nil, 10, "STALLED PEER_UNREACHABLE PEER_LOST"},
		{"Deadline", nil, []string{"--deadline", "15s"}, 9, "DEADLINE_EXCEEDED"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, f := useFarm(t, 2, test.flags...)
			src, dst := newTree(t, f.daemons[0].data).file("f", 16<<20), filepath.Join(f.daemons[1].data, "f")
			old := must(os.ReadFile(newTree(t, f.daemons[1].data).file("f", 100)))(t)
			args := append([]string{"cp", "--id", "x", "n1:" + src, "n2:" + dst}, slowly...)
			p, err := start("xferctl", environ("XFERCTL_SERVER="+c.server), program("xferctl"), append(args, test.options...)...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.kill)
			const name = "nodes/n1/transfers/x"
			c.landed(t, name, 3<<20)
			f.daemons[1].kill()
			waiting := c.until(t, name, "it waits", func(tr *xferv1.Transfer) bool { return tr.GetWaitingReason() != "" })
			if waiting.GetState() != xferv1.State_STATE_RUNNING || !strings.HasPrefix(waiting.GetWaitingReason(), "PEER_") {
				t.Errorf("%s, waiting for %q", waiting.GetState(), waiting.GetWaitingReason())
			}
			if code, err := p.wait(); err != nil || code != test.code {
				t.Errorf("exit %d, %v, want %d\n%s%s", code, err, test.code, p.stdout.String(), p.stderr.String())
			}
			tr := c.get(t, name)
			if tr.GetState() != xferv1.State_STATE_FAILED || !strings.Contains(test.reasons, tr.GetError().GetReason()) {
				t.Errorf("%s: %v", tr.GetState(), reasonsOf(tr))
			}
			if now := must(os.ReadFile(dst))(t); string(now) != string(old) {
				t.Error("what was there is not what it was")
			}
			if err := f.up(f.daemons[1]); err != nil {
				t.Fatal(err)
			}
			if err := f.joined(); err != nil {
				t.Fatal(err)
			}
			// The target did not hear of the end, and is told before the
			// destination is asked for again. It keeps what landed.
			r := c.ok(t, "cp", "--chunk-size", "1MiB", "n1:"+src, "n2:"+dst, "-o", "json")
			end := must(endEvent(r.stdout))(t)
			again := c.get(t, end["name"].(string))
			if n := moved(again); n >= 16<<20-1<<20 {
				t.Errorf("%d bytes were moved again", n)
			}
			equal(t, src, dst)
			noTemps(t, f.daemons[1].data)
		})
	}
}

// An owner that is lost holds the destination; abandoning the transfer at the
// target frees it, and leaves nothing behind but what a later run can use.
func TestAbandonFreesTheDestination(t *testing.T) {
	t.Parallel()
	_, f := useFarm(t, 3)
	c := &ctl{server: f.daemons[1].server()}
	src, dst := newTree(t, f.daemons[0].data).file("f", 16<<20), filepath.Join(f.daemons[1].data, "a/b/f")
	other := newTree(t, f.daemons[2].data).file("other", 1000)
	name := c.detach(t, append([]string{"cp", "--id", "lost", "n1:" + src, "n2:" + dst}, slower...)...)
	c.landed(t, name, 1<<20)
	if r := c.exits(t, 1, "transfers", "abandon", "--node", "n2", "n1/lost"); !strings.Contains(r.stderr, "BAD_STATE") {
		t.Errorf("while the owner is there: %s", r)
	}
	f.daemons[0].kill()
	eventually(t, "the target sees that the owner is gone", func() bool {
		r := c.run(t, "transfers", "abandon", "--node", "n2", "n1/lost")
		if r.code == 0 && !strings.Contains(r.stdout, "n2 let go of n1/lost") {
			t.Errorf("it does not say what it did: %s", r)
		}
		return r.code == 0
	})
	if r := c.exits(t, 3, "transfers", "abandon", "--node", "n2", "n1/lost"); !strings.Contains(r.stderr, "TRANSFER_NOT_FOUND") {
		t.Errorf("a second time: %s", r)
	}
	if _, err := os.Lstat(dst); !os.IsNotExist(err) {
		t.Errorf("something is at the destination: %v", err)
	}
	c.ok(t, "cp", "n3:"+other, "n2:"+dst)
	equal(t, other, dst)
	comesTooLate(t, c, f, name, xferv1.Reason_REASON_CANCELLED, "abandoned")
	equal(t, other, dst)
}

// comesTooLate starts the first node again, and looks how its transfer ends.
func comesTooLate(t *testing.T, c *ctl, f *farm, name string, want xferv1.Reason, says string) {
	t.Helper()
	if err := f.up(f.daemons[0]); err != nil {
		t.Fatal(err)
	}
	tr := c.waitOver(t, name)
	if e := tr.GetError(); tr.GetState() != xferv1.State_STATE_FAILED || e.GetReason() != want.Name() || !strings.Contains(e.GetMessage(), says) {
		t.Errorf("%v %v", tr.GetState(), tr.GetError())
	}
}

// An owner that is away for longer than orphan_ttl has lost the destination to whoever
// took it meanwhile.
func TestP10LapsedOwnerComesBack(t *testing.T) {
	t.Parallel()
	_, f := useFarm(t, 3, "--times-orphan-ttl", "500ms")
	c := &ctl{server: f.daemons[1].server()}
	src := newTree(t, f.daemons[0].data).file("f", 6<<20)
	other := newTree(t, f.daemons[2].data).file("other", 1000)
	taken, free := filepath.Join(f.daemons[1].data, "taken"), filepath.Join(f.daemons[1].data, "free")
	one := c.detach(t, append([]string{"cp", "n1:" + src, "n2:" + taken}, slower...)...)
	two := c.detach(t, append([]string{"cp", "n1:" + src, "n2:" + free}, slower...)...)
	c.landed(t, one, 1<<20)
	c.landed(t, two, 1<<20)
	f.daemons[0].kill()
	eventually(t, "the destinations are free", func() bool {
		r := c.ok(t, "transfers", "ls", "--incoming", "--node", "n2", "-o", "json")
		return !strings.Contains(r.stdout, filepath.Base(one)) && !strings.Contains(r.stdout, filepath.Base(two))
	})
	c.ok(t, "cp", "n3:"+other, "n2:"+taken)
	comesTooLate(t, c, f, one, xferv1.Reason_REASON_DEST_CHANGED, "nodes/n3/transfers/")
	equal(t, other, taken)
	if tr := c.waitOver(t, two); tr.GetState() != xferv1.State_STATE_SUCCEEDED {
		t.Errorf("what nobody took: %v", tr)
	}
	equal(t, src, free)
}
