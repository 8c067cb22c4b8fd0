package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// What the kernel answers to a system call gets its reason and its exit code;
// one file fails, the other is there, and nothing is left behind. strace gives
// the answers.
func TestErrorsOfTheKernel(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, reason string
		code         int
		node         int    // whose system calls fail
		path         string // relative to src of n1 or dst of n2: calls with it, or with a descriptor of it
		inject       string
	}{
		{"SourceCannotBeRead", "SOURCE_IO_ERROR", 5, 0, "bad/file", "inject=sendfile,pread64,preadv,read:error=EIO"},
		{"DestinationHasNoQuota", "DEST_QUOTA", 8, 1, "bad", "inject=openat2,openat:error=EDQUOT"},
		{"DestinationHasNoDescriptors", "LOCAL_FD_LIMIT", 5, 1, "bad", "inject=openat2,openat:error=EMFILE"},
		{"DestinationIsBroken", "DEST_IO_ERROR", 4, 1, "bad", "inject=openat2,openat,renameat2:error=EIO"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, f := useFarm(t, 2)
			src, dst := filepath.Join(f.daemons[0].data, "src"), filepath.Join(f.daemons[1].data, "dst")
			tree := newTree(t, src)
			tree.file("good/file", 2<<20)
			tree.file("bad/file", 2<<20)
			newTree(t, dst).dir("bad")
			root := []string{src, dst}[test.node]
			stop := traceCalls(t, f.daemons[test.node].pid(), "-P", filepath.Join(root, test.path), "-e", test.inject)
			r := c.run(t, "cp", "n1:"+src, "n2:"+dst, "-o", "json")
			trace := string(must(os.ReadFile(stop()))(t))
			if !strings.Contains(trace, "INJECTED") {
				t.Fatalf("no call failed\n%s\n%s", trace, r)
			}
			end, err := endEvent(r.stdout)
			if err != nil {
				t.Fatalf("%v\n%s", err, r)
			}
			tr := c.get(t, end["name"].(string))
			if !slices.Contains(reasonsOf(tr), test.reason) || r.code != test.code {
				t.Errorf("exit %d, reasons %v, want %d, %s", r.code, reasonsOf(tr), test.code, test.reason)
			}
			if tr.GetState() != xferv1.State_STATE_PARTIALLY_SUCCEEDED {
				t.Errorf("the state is %s", tr.GetState())
			}
			if want, got := must(digest(filepath.Join(src, "good/file")))(t), must(digest(filepath.Join(dst, "good/file")))(t); want != got {
				t.Error("the other file is not equal")
			}
			if _, err := os.Lstat(filepath.Join(dst, "bad/file")); !os.IsNotExist(err) {
				t.Errorf("something is at the destination: %v", err)
			}
			noTemps(t, dst)
			c.ok(t, "cp", "n1:"+src, "n2:"+dst)
			equal(t, src, dst)
		})
	}
}

// A source without descriptors is waited for: no file fails for want of one.
func TestSourceHasNoDescriptors(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2)
	src, dst := filepath.Join(f.daemons[0].data, "src"), filepath.Join(f.daemons[1].data, "dst")
	tree := newTree(t, src)
	tree.file("good/file", 2<<20)
	tree.file("bad/file", 2<<20)
	stop := traceCalls(t, f.daemons[0].pid(), "-P", filepath.Join(src, "bad"), "-e", "inject=openat2,openat:error=EMFILE")
	name := c.detach(t, "cp", "n1:"+src, "n2:"+dst)
	c.until(t, name, "it waits for descriptors", func(tr *xferv1.Transfer) bool { return tr.GetWaitingReason() == "LOCAL_FD_LIMIT" })
	stop()
	c.until(t, name, "it is over", func(tr *xferv1.Transfer) bool { return tr.GetState() == xferv1.State_STATE_SUCCEEDED })
	equal(t, src, dst)
}

// A directory whose sync fails makes its files fail: they may be under their names, and
// whole, and are not told to be. Of the files themselves see TestP2SyncIsNotTriedAgain.
func TestP2FailedSyncPublishesNothing(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2)
	src, dst := filepath.Join(f.daemons[0].data, "src"), filepath.Join(f.daemons[1].data, "dst")
	tree := newTree(t, src)
	tree.file("large", 9<<20)
	tree.file("small", 1000)
	old := newTree(t, dst)
	old.file("large", 100)
	before := must(look(filepath.Join(dst, "large")))(t)
	// strace goes by the path itself: this is the directory, and nothing below it.
	stop := traceCalls(t, f.daemons[1].pid(), "-P", dst, "-e", "inject=fsync,fdatasync,syncfs:error=EIO")
	r := c.run(t, "cp", "n1:"+src, "n2:"+dst, "-o", "json")
	trace := string(must(os.ReadFile(stop()))(t))
	if !strings.Contains(trace, "INJECTED") {
		t.Fatalf("no sync of the directory was asked for\n%s\n%s", trace, r)
	}
	if r.code != 4 && r.code != 5 {
		t.Errorf("%s", r)
	}
	if now := must(look(filepath.Join(dst, "large")))(t); now != before && now.size != 9<<20 {
		t.Errorf("the file is neither the old nor the new one: %+v", now)
	}
	noTemps(t, dst)
	c.ok(t, "cp", "n1:"+src, "n2:"+dst)
	equal(t, src, dst)
}
