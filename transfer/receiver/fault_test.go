package receiver

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/xferd/xferd/test/needs"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// smallFS mounts a tmpfs for the export.
func smallFS(t *testing.T, options string) string {
	t.Helper()
	needs.Root(t)
	at := t.TempDir()
	if err := syscall.Mount("tmpfs", at, "tmpfs", 0, options); err != nil {
		needs.Missing(t, "cannot mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(at, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return at
}

func TestNoSpace(t *testing.T) {
	g := newRigAt(t, smallFS(t, "size=4m"), t.TempDir())
	o := g.dial(g.request("d"))
	o.announce(dir(root, ""), regular(0, "large", pattern(8*testChunk, 1)), regular(0, "fits", pattern(1000, 2)))
	o.answer(1)
	if v := o.land(o.extent(1, 0)); v[0].Code != transport.Refused || transfer.ReasonOf(v[0].Err) != transfer.DestNoSpace {
		t.Errorf("%+v", v)
	}
	o.fails(1, transfer.DestNoSpace)
	o.serve()
	o.want(2, transfer.OutcomePublished)
	o.finish()
	g.wantFile("d/fits", pattern(1000, 2))
	g.wantClean()
}

func TestNoSpaceInTheMiddle(t *testing.T) {
	g := newRigAt(t, smallFS(t, "size=8m"), t.TempDir())
	o := g.dial(g.request("d"))
	o.announce(dir(root, ""), regular(0, "f", pattern(6*testChunk, 1)), regular(0, "small", pattern(testChunk, 1)))
	o.answer(1)
	o.sendRange(1, transport.Range{Length: 2 * testChunk})
	if err := os.WriteFile(g.path("filler"), make([]byte, 6*testChunk), 0o600); err != nil {
		t.Logf("filled: %v", err)
	}
	if v := o.land(o.extent(1, 2*testChunk)); v[0].Code != transport.Refused {
		t.Errorf("%+v", v)
	}
	o.fails(1, transfer.DestNoSpace)
	if hint := o.result(1).Err.Hint; !strings.Contains(hint, "begins anew") {
		t.Errorf("nothing of it is kept, and the hint is %q", hint)
	}
	os.Remove(g.path("filler"))
	o.serve()
	o.want(2, transfer.OutcomePublished)
	o.finish()
	g.wantClean()
}

func TestNoInodes(t *testing.T) {
	g := newRigAt(t, smallFS(t, "size=4m,nr_inodes=6"), t.TempDir())
	o := g.dial(g.request("d"))
	list := []source{dir(root, "")}
	for i := range 10 {
		list = append(list, regular(0, fmt.Sprint(i), []byte("x")))
	}
	o.announce(list...)
	o.serve()
	failed := 0
	for n := range uint64(11) {
		if r := o.result(n); r.Outcome == transfer.OutcomeFailed {
			failed++
			if r.Err.Reason != transfer.DestNoInodes {
				t.Errorf("%v", r.Err)
			}
		}
	}
	if failed == 0 {
		t.Error("nothing failed")
	}
	o.finish()
	g.wantClean()
}

func TestReadOnlyFileSystem(t *testing.T) {
	at := smallFS(t, "size=4m")
	g := newRigAt(t, at, t.TempDir())
	o := g.dial(g.request("d"))
	o.announce(dir(root, ""), regular(0, "a", []byte("x")))
	o.answer(1)
	if err := syscall.Mount("", at, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		needs.Missing(t, "cannot remount: %v", err)
	}
	o.land(o.extent(1, 0))
	o.fails(1, transfer.DestReadOnly)
	if err := syscall.Mount("", at, "", syscall.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	o.finish()
	g.wantClean()
}

func TestReadOnlyMountInTheTree(t *testing.T) {
	at := smallFS(t, "size=4m")
	g := newRigAt(t, at, t.TempDir())
	if err := os.MkdirAll(g.path("d"), 0o755); err != nil {
		t.Fatal(err)
	}
	// A read-only bind mount in the middle of the tree.
	if err := os.Mkdir(g.path("d/ro"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(g.path("d/ro"), g.path("d/ro"), "", syscall.MS_BIND, ""); err != nil {
		needs.Missing(t, "cannot bind: %v", err)
	}
	defer syscall.Unmount(g.path("d/ro"), syscall.MNT_DETACH)
	if err := syscall.Mount("", g.path("d/ro"), "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
		needs.Missing(t, "cannot remount: %v", err)
	}
	o, _ := g.copyAll(g.request("d"), dir(root, ""), dir(0, "ro"), regular(1, "x", nil), regular(1, "y", []byte("1")), regular(0, "ok", []byte("2")))
	o.fails(2, transfer.DestReadOnly)
	o.fails(3, transfer.DestReadOnly)
	o.want(4, transfer.OutcomePublished)
	g.wantClean()
}

func TestDeletionStopsAtMounts(t *testing.T) {
	g := newRigAt(t, smallFS(t, "size=4m"), t.TempDir())
	g.write("d/gone/a", nil, testTime)
	g.write("precious/b", nil, testTime)
	if err := os.Mkdir(g.path("d/gone/bind"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(g.path("precious"), g.path("d/gone/bind"), "", syscall.MS_BIND, ""); err != nil {
		needs.Missing(t, "cannot bind: %v", err)
	}
	defer syscall.Unmount(g.path("d/gone/bind"), syscall.MNT_DETACH)
	_, fin := g.copyAll(g.request("d", deleting()), dir(root, ""), regular(0, "f", nil), endDir(0))
	if transfer.ReasonOf(errorOf(fin.Err)) != transfer.PartialFailure || fin.Deleted != 1 || exists(g.path("d/gone/a")) || !exists(g.path("precious/b")) {
		t.Errorf("%+v", fin)
	}
	g.wantClean()
}

func TestDestinationRemovedInTheMiddle(t *testing.T) {
	g := newRig(t)
	o := g.dial(g.request("d"))
	o.announce(dir(root, ""), regular(0, "a", []byte("x")), regular(0, "b", pattern(3*testChunk, 1)), dir(0, "s"), regular(3, "c", []byte("x")))
	o.answer(1)
	o.answer(2)
	o.answer(4)
	o.sendRange(2, transport.Range{Length: testChunk})
	if err := os.RemoveAll(g.path("d")); err != nil {
		t.Fatal(err)
	}
	o.land(o.extent(1, 0))
	o.sendRange(2, o.sources[2].whole())
	o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 2}}})
	o.land(o.extent(4, 0))
	for _, n := range []uint64{1, 2, 4} {
		o.fails(n, transfer.DestDirGone)
	}
	o.finish()
	g.wantClean()
}

// A temporary file that cannot be made was named in the journal before: a crash
// right after one is made leaves none that nobody knows of.
func TestTempIsNamedBeforeItIsMade(t *testing.T) {
	g := newRig(t)
	o := g.dial(g.request("d"))
	o.announce(dir(root, ""), regular(0, "large", pattern(3*testChunk, 1)), regular(0, "one", pattern(testChunk, 1)))
	o.answer(1)
	o.answer(2)
	if err := os.RemoveAll(g.path("d")); err != nil {
		t.Fatal(err)
	}
	o.land(o.extent(1, 0))
	o.land(o.extent(2, 0))
	o.fails(1, transfer.DestDirGone)
	o.fails(2, transfer.DestDirGone)
	j, err := g.journals.get(o.open.UID, false)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	named := map[string]bool{}
	err = j.log.Read(0, func(_ int64, typ uint8, payload []byte) error {
		if typ != frameTemps {
			return nil
		}
		return decodeTemps(payload, func(s smallTemp) { named[s.Final] = s.Dir == g.path("d") })
	})
	if err != nil || !named["large"] || !named["one"] {
		t.Errorf("the journal names temps for %v, %v", named, err)
	}
	o.finish()
	g.wantClean()
}

func TestDestinationMovedInTheMiddle(t *testing.T) {
	g := newRig(t)
	o := g.dial(g.request("d"))
	o.announce(dir(root, ""), regular(0, "a", pattern(3*testChunk, 1)))
	o.answer(1)
	o.sendRange(1, o.sources[1].whole())
	if err := os.Rename(g.path("d"), g.path("e")); err != nil {
		t.Fatal(err)
	}
	o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 1}}})
	o.fails(1, transfer.DestDirGone)
	if exists(g.path("e/a")) {
		t.Error("published in a directory that nobody asked for")
	}
	o.finish()
	g.wantClean()
}

func TestP6FailedTransferLeavesNoDirectories(t *testing.T) {
	g := newRig(t)
	o := g.dial(g.request("a/b/c"))
	o.announce(regular(root, "", pattern(10, 1)))
	o.answer(0)
	o.send(&transfer.EntryGiveUp{Entry: 0, Err: &transfer.Error{Reason: transfer.SourceVanished}})
	o.fails(0, transfer.SourceVanished)
	o.finish()
	g.wantClean()
	if exists(g.path("a")) {
		t.Error("directories are left")
	}
}

func TestP6CancelLeavesWholeFilesOrNone(t *testing.T) {
	g := newRig(t)
	g.write("d/old", []byte("old"), testTime)
	g.write("d/mine/x", []byte("theirs"), testTime)
	o := g.dial(g.request("d"))
	o.announce(dir(root, ""), regular(0, "done", []byte("x")), regular(0, "old", pattern(10, 1)), dir(0, "empty"), dir(0, "mine"), dir(4, "e"), regular(0, "big", pattern(3*testChunk, 1)))
	o.answer(1)
	o.land(o.extent(1, 0))
	o.want(1, transfer.OutcomePublished)
	o.answer(2)
	half := o.extent(2, 0)
	half.Final = false
	o.land(half)
	o.answer(6)
	o.sendRange(6, transport.Range{Length: testChunk})
	o.abort(transfer.EndPurge)
	g.wantFile("d/done", []byte("x"))
	g.wantFile("d/old", []byte("old"))
	g.wantFile("d/mine/x", []byte("theirs"))
	for _, p := range []string{"d/empty", "d/mine/e", "d/big"} {
		if exists(g.path(p)) {
			t.Errorf("%s is left", p)
		}
	}
	g.wantClean()
}

func TestP1NotPublishedWithoutTheOwnersWord(t *testing.T) {
	g := newRig(t)
	o := g.dial(g.request("d"))
	o.announce(dir(root, ""), regular(0, "a", []byte("x")), regular(0, "b", pattern(2*testChunk, 1)))
	a := o.extent(1, 0)
	a.Final = false
	o.answer(1)
	o.answer(2)
	o.land(a)
	o.sendRange(2, o.sources[2].whole())
	o.send(&transfer.Ping{Seq: 1})
	o.next()
	if exists(g.path("d/a")) || exists(g.path("d/b")) {
		t.Error("published before the source was found unchanged")
	}
	o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 1}, {Entry: 2}}})
	o.want(1, transfer.OutcomePublished)
	o.want(2, transfer.OutcomePublished)
	o.finish()
	g.wantClean()
}
