package receiver

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/xferd/xferd/test/needs"
	"github.com/xferd/xferd/transfer"
)

func dry(m *transfer.Open) { m.Options.DryRun = true }

// A dry run tells how much a run would move: nothing for what is the same, and of
// what an earlier transfer left only the rest.
func TestDryRunCountsBytes(t *testing.T) {
	g := newRig(t)
	large := regular(0, "large", pattern(3*testChunk+5, 1))
	list := []source{
		dir(root, ""), large, regular(0, "new", pattern(700, 2)), regular(0, "same", pattern(70, 3)), regular(0, "other", pattern(90, 4)),
		symlink(0, "link", "new"), hardlink(0, "hard", 2), regular(0, "empty", nil), endDir(0),
	}
	g.write("d/same", list[3].data, testTime)
	g.write("d/other", []byte("old"), testTime)

	earlier := g.dial(g.request("d"))
	earlier.announce(dir(root, ""), large)
	earlier.answer(1)
	earlier.land(earlier.extent(1, testChunk))
	earlier.abort(transfer.EndCancel)

	o, fin := g.copyAll(g.request("d", dry), list...)
	if fin.Err != nil {
		t.Error(fin.Err)
	}
	want := map[uint64]int64{1: 2*testChunk + 5, 2: 700, 4: 90}
	for n := range uint64(len(list)) {
		if r := o.result(n); r.Bytes != want[n] {
			t.Errorf("%q: %d bytes, want %d", list[n].Name, r.Bytes, want[n])
		}
	}
	if g.partials() != 1 || len(g.temps()) != 1 {
		t.Error("the dry run touched what was left")
	}
}

// A dry run says when what it would copy does not fit.
func TestDryRunTellsOfSpace(t *testing.T) {
	needs.Root(t)
	g := newRig(t)
	g.write("small/x", nil, testTime)
	if err := syscall.Mount("tmpfs", g.path("small"), "tmpfs", 0, "size=4m"); err != nil {
		needs.Missing(t, "a tmpfs cannot be mounted: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(g.path("small"), syscall.MNT_DETACH) })
	g.write("small/d/old", pattern(3*testChunk, 1), testTime-1)
	g.write("small/d/one", pattern(3*testChunk/4, 1), testTime-1)
	if err := os.Link(g.path("small/d/one"), g.path("small/d/two")); err != nil {
		t.Fatal(err)
	}
	file := func(name string, size int64) source { return regular(0, name, pattern(size, 2)) }
	sparse := file("new", 3*testChunk)
	sparse.Flags = transfer.EntrySparse
	tests := []struct {
		name string
		dest string
		list []source
		full bool
	}{
		{name: "fits", dest: "small/d", list: []source{file("new", 1000)}},
		{name: "does not", dest: "small/d", list: []source{file("a", testChunk/2), file("b", testChunk/2)}, full: true},
		{name: "in a directory that is not there", dest: "small/e/f", list: []source{file("new", testChunk)}, full: true},
		{name: "takes the place of another", dest: "small/d", list: []source{file("old", 3*testChunk)}},
		{name: "takes one of two names", dest: "small/d", list: []source{file("one", testChunk)}, full: true},
		{name: "has holes", dest: "small/d", list: []source{sparse}},
		{name: "somewhere else", dest: "d", list: []source{file("new", testChunk)}},
		{name: "the mount is below", dest: "", list: []source{dir(0, "small"), dir(1, "new"), regular(2, "new", pattern(testChunk, 1))}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, fin := g.copyAll(g.request(tt.dest, dry), append([]source{dir(root, "")}, tt.list...)...)
			o.want(1, transfer.OutcomePublished)
			switch {
			case !tt.full && fin.Err != nil,
				tt.full && (fin.Err == nil || fin.Err.Reason != transfer.DestNoSpace || !strings.Contains(fin.Err.Error(), "bytes more and")):
				t.Errorf("%v", fin.Err)
			}
		})
	}
}
