package node

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/test/needs"
)

// A program punched holes into the memory of its region, and there are no pages left:
// transfers from it and into it end, one way or the other, and the nodes go on.
func TestTransfersOfMemoryThatCannotBeHad(t *testing.T) {
	needs.HugePages(t, 2)
	dir := t.TempDir()
	p := newPair(t, dir)
	ctx := t.Context()
	make1 := func(id string) string {
		g, err := p.client.CreateRegion(ctx, "n1", id, &xferv1.Region{SizeBytes: needs.HugePage, PageSize: needs.HugePage})
		if err != nil {
			t.Fatal(err)
		}
		return g.GetOwner()
	}
	owner := make1("x")
	make1("other")
	g, err := p.nodes[0].regions.Read(owner, "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Fallocate(int(g.File().Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, needs.HugePage); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	make1("thief") // has the page now
	for _, n := range []string{"n1", "n2"} {
		if err := os.WriteFile(filepath.Join(dir, n, "f"), make([]byte, 100_000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	into := func(node string) *xferv1.TransferSpec {
		s := client.Copy(node, filepath.Join(dir, node, "f"), "n1", "")
		s.Destination = client.RegionDestination("x", 0)
		return s
	}
	from := func(node string) *xferv1.TransferSpec {
		s := client.Copy("n1", "", node, filepath.Join(dir, node, "out"))
		s.Sources = []*xferv1.Source{client.RegionSource("x", 0, -1)}
		return s
	}
	within := from("n1")
	within.Destination = client.RegionDestination("other", 0)
	for what, c := range map[string]struct {
		spec *xferv1.TransferSpec
		fail bool // reads of a hole may be zeros; writes must not be lost
	}{
		"file of another node into it": {into("n2"), true}, "file of its node into it": {into("n1"), true},
		"into a file of another node": {from("n2"), false}, "into a file of its node": {from("n1"), false},
		"into another region": {within, false},
	} {
		sub, err := p.client.Submit(ctx, "", c.spec)
		if err != nil {
			t.Fatal(err)
		}
		done, err := p.client.Wait(ctx, sub.GetName())
		if err != nil {
			t.Fatal(err)
		}
		if ended := done.GetState() == xferv1.State_STATE_FAILED; !ended && c.fail || !client.Over(done) {
			t.Errorf("%s: %v, %v", what, done.GetState(), done.GetError())
		}
		t.Logf("%s: %v %v", what, done.GetState(), done.GetError())
	}
	info, err := p.client.GetRegion(ctx, "nodes/n1/regions/x")
	if err != nil || info.GetTornCount() == 0 {
		t.Errorf("%v, %v", info, err)
	}
}
