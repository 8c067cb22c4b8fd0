package receiver

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/xferd/xferd/test/needs"
	"github.com/xferd/xferd/transfer"
)

// What is mounted in a directory that only the destination has is not touched, and the
// sync tells that it made no mirror.
func TestP9DeleteTellsWhatIsMounted(t *testing.T) {
	needs.Root(t)
	g := newRig(t)
	g.write("disk/precious", []byte("x"), testTime)
	g.write("d/gone/old", nil, testTime)
	for _, at := range []string{"d/gone/mnt", "d/mnt2"} {
		if err := os.MkdirAll(g.path(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount(g.path("disk"), g.path(at), "", syscall.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(g.path(at), syscall.MNT_DETACH) })
	}
	for _, run := range []struct {
		dry  bool
		want []string
	}{{true, []string{"gone/old"}}, {false, []string{"gone/old"}}, {false, nil}} {
		o, fin := g.copyAll(g.request("d", deleting(func(o *transfer.Options) { o.DryRun = run.dry })), mirror()...)
		err := errorOf(fin.Err)
		if transfer.ReasonOf(err) != transfer.PartialFailure || !strings.Contains(err.Error(), "and 1 more") || !strings.Contains(err.Error(), "mounted") {
			t.Errorf("dry %v: %v", run.dry, err)
		}
		if got := o.deleted(); !slices.Equal(got, run.want) || fin.Deleted != int64(len(run.want)) {
			t.Errorf("dry %v: deleted %q (%d), want %q", run.dry, got, fin.Deleted, run.want)
		}
		g.wantFile("d/gone/mnt/precious", []byte("x"))
	}
	// What a filter leaves out is none of its business.
	_, fin := g.copyAll(g.request("d", deleting(func(o *transfer.Options) { o.Filters = []transfer.FilterRule{{Pattern: "mnt*"}} })), mirror()...)
	if fin.Err != nil {
		t.Error(fin.Err)
	}
}
