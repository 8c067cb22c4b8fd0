package receiver

import (
	"os"
	"strings"
	"testing"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

func verifying(m *transfer.Open) {
	m.Mode, m.Options.DryRun, m.Options.Delete = transfer.ModeVerify, true, true
	m.Options.Preserve, m.Options.Compare = transfer.PreserveSymlinks, transfer.CompareChecksum
}

func TestVerifyFindsWhatDiffers(t *testing.T) {
	g := newRig(t)
	list := []source{
		dir(root, ""), regular(0, "keep", []byte("1")), regular(0, "large", pattern(2*testChunk+7, 3)), symlink(0, "link", "keep"),
		dir(0, "sub"), endDir(0), regular(4, "g", []byte("2")), endDir(4),
	}
	if _, fin := g.copyAll(g.request("d"), list...); fin.Err != nil {
		t.Fatal(fin.Err)
	}
	g.touch("d/keep", testTime+5) // no content
	if _, fin := g.copyAll(g.request("d", verifying), list...); fin.Err != nil || fin.Deleted != 0 {
		t.Fatalf("a copy and its source: %+v", fin)
	}

	large := pattern(2*testChunk+7, 3)
	large[testChunk+1]++
	g.write("d/large", large, testTime)
	for _, name := range []string{"d/link", "d/sub/g"} {
		if err := os.Remove(g.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	g.write("d/link", []byte("keep"), testTime)
	g.write("d/more/in", []byte("x"), testTime)
	o, fin := g.copyAll(g.request("d", verifying), list...)
	if fin.Err == nil || fin.Err.Reason != transfer.Different || fin.Deleted != 2 ||
		!strings.Contains(fin.Err.Error(), "2 entries not the same, 1 entry not at the destination, 2 entries only at the destination") {
		t.Errorf("%+v", fin)
	}
	for n, want := range map[uint64]transfer.Change{2: transfer.ChangeContent, 3: transfer.ChangeType, 6: transfer.ChangeNew} {
		if r := o.want(n, transfer.OutcomePublished); r.Change != want {
			t.Errorf("%q: change %b, want %b", list[n].Name, r.Change, want)
		}
	}
	for _, n := range []uint64{0, 1, 4} {
		o.want(n, transfer.OutcomeSame)
	}
	g.wantFile("d/large", large)
	g.wantFile("d/more/in", []byte("x"))
	g.wantNoTemps()
}

// Whoever only compares writes nothing and is in nobody's way: not of a running
// transfer, and not in an export where nothing may be written.
func TestVerifyTakesNoLock(t *testing.T) {
	g := newRig(t)
	list := mirror()
	g.copyAll(g.request("d"), list...)
	running := g.dial(g.request("d"))
	if _, fin := g.copyAll(g.request("d", verifying), list...); fin.Err != nil {
		t.Errorf("beside a transfer: %v", fin.Err)
	}
	running.abort(transfer.EndPurge)

	exp, err := fsroot.OpenExports([]fsroot.Export{{Path: g.dir, Mode: fsroot.ReadOnly}})
	if err != nil {
		t.Fatal(err)
	}
	old := g.exp
	g.exp = exp
	old.Close()
	if _, fin := g.copyAll(g.request("d", verifying), list...); fin.Err != nil {
		t.Errorf("in a read-only export: %v", fin.Err)
	}
	if err := os.MkdirAll(g.path("d/extra/in"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, fin := g.copyAll(g.request("d", verifying), list...); fin.Deleted != 2 || transfer.ReasonOf(fin.Err) != transfer.Different {
		t.Errorf("in a read-only export: %+v", fin)
	}
	if terr := g.refused(g.request("d", verifying, func(m *transfer.Open) { m.Options.DryRun = false }), Peer{Node: "n1"}); terr.Reason != transfer.InvalidSpec {
		t.Error(terr)
	}
	if terr := g.refused(g.request("d", dry), Peer{Node: "n1"}); terr.Reason != transfer.ExportReadOnly {
		t.Error(terr)
	}
}

// A scan that had errors does not make strangers of what it did not see.
func TestVerifyAfterScanErrors(t *testing.T) {
	g := newRig(t)
	g.clutter()
	o := g.dial(g.request("d", verifying))
	o.announce(dir(root, ""), endDir(0))
	o.serve()
	o.send(&transfer.ScanDone{Entries: 2, Failed: 1})
	o.send(&transfer.Finish{})
	if fin := o.finished(); fin.Err != nil || fin.Deleted != 0 {
		t.Errorf("%+v", fin)
	}
}
