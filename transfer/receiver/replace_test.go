package receiver

import (
	"os"
	"syscall"
	"testing"

	"github.com/xferd/xferd/test/needs"
	"github.com/xferd/xferd/transfer"
)

func forcing(o *transfer.Options) {
	o.Force, o.Filters = true, []transfer.FilterRule{{Pattern: "*.bak"}}
}

// A directory that gives way to a file takes only with it what may go, and is
// whole where something must stay.
func TestP5ForceKeepsWhatIsLeftOut(t *testing.T) {
	g := newRig(t)
	live := newTempNames(transfer.UID{1}, 1, 7).name(1)
	g.write("d/a/x", nil, testTime)
	g.write("d/a/in/y.bak", nil, testTime)
	g.write("d/b/x", nil, testTime)
	g.write("d/b/in/z", nil, testTime)
	g.write("d/c/x", nil, testTime)
	g.write("d/c/in/"+live, nil, testTime)
	g.write("d/e/x", nil, testTime)
	g.write("d/e/"+newTempNames(transfer.UID{2}, 1, 7).name(1), nil, testTime)
	g.write("d/h/x.bak", nil, testTime)
	other := g.dial(g.request("d/c/in", func(m *transfer.Open) { m.UID = transfer.UID{1} }))
	o, fin := g.copyAll(g.request("d", func(m *transfer.Open) { forcing(&m.Options) }), dir(root, ""),
		regular(0, "a", []byte("1")), regular(0, "b", []byte("2")), regular(0, "c", []byte("3")), regular(0, "e", []byte("4")), hardlink(0, "h", 2))
	if fin.Err != nil {
		t.Error(fin.Err)
	}
	for n, reason := range map[uint64]transfer.Reason{1: transfer.DestTypeConflict, 2: "", 3: transfer.DestTypeConflict, 4: "", 5: transfer.DestTypeConflict} {
		if reason != "" {
			o.fails(n, reason)
		} else {
			o.want(n, transfer.OutcomePublished)
		}
	}
	for _, p := range []string{"d/a/x", "d/a/in/y.bak", "d/c/x", "d/c/in/" + live, "d/h/x.bak"} {
		if !exists(g.path(p)) {
			t.Errorf("%s is gone", p)
		}
	}
	g.wantFile("d/b", []byte("2"))
	g.wantFile("d/e", []byte("4"))
	os.Remove(g.path("d/c/in/" + live))
	other.close()
}

func TestP5ForceKeepsMounts(t *testing.T) {
	needs.Root(t)
	g := newRig(t)
	g.write("d/f/x", nil, testTime)
	g.write("d/f/z/under", nil, testTime)
	g.write("precious/p", nil, testTime)
	if err := syscall.Mount(g.path("precious"), g.path("d/f/z"), "", syscall.MS_BIND, ""); err != nil {
		needs.Missing(t, "cannot bind: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(g.path("d/f/z"), syscall.MNT_DETACH) })
	o, _ := g.copyAll(g.request("d", func(m *transfer.Open) { m.Options.Force = true }), dir(root, ""), regular(0, "f", []byte("1")))
	o.fails(1, transfer.DestTypeConflict)
	if !exists(g.path("d/f/x")) || !exists(g.path("precious/p")) {
		t.Error("a directory that could not go lost a part")
	}
	g.wantClean()
}
