package receiver

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

// What gives way is told name by name, counted, and bounded by max_delete before
// the first name goes.
func TestForceIsCountedAndBounded(t *testing.T) {
	max := func(n int64) *int64 { return &n }
	tests := []struct {
		name    string
		max     *int64
		dry     bool
		files   int
		deleted []string
		reason  transfer.Reason
	}{
		{"few", nil, false, 2, []string{"a", "a/0", "a/1", "b"}, ""},
		{"few, dry run", nil, true, 2, []string{"a", "a/0", "a/1", "b"}, ""},
		{"as many as may", max(4), false, 2, []string{"a", "a/0", "a/1", "b"}, ""},
		{"one too many", max(2), false, 2, []string{"b"}, transfer.MaxDelete},
		{"one too many, dry run", max(2), true, 2, []string{"b"}, transfer.MaxDelete},
		{"none", max(0), false, 2, nil, transfer.MaxDelete},
		{"more than by default", nil, false, 100, []string{"b"}, transfer.MaxDelete},
		{"more than by default, allowed", max(200), false, 100, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t)
			for i := range tt.files {
				g.write(fmt.Sprintf("d/a/%d", i), []byte("precious"), testTime)
			}
			g.write("d/b", []byte("a file"), testTime)
			before := snapshot(t, g.dir)
			o, fin := g.copyAll(g.request("d", func(m *transfer.Open) {
				m.Options.Force, m.Options.MaxDelete, m.Options.DryRun = true, tt.max, tt.dry
			}), dir(root, ""), regular(0, "a", []byte("1")), dir(0, "b"), endDir(0), endDir(2))
			if transfer.ReasonOf(errorOf(fin.Err)) != tt.reason {
				t.Errorf("ended with %v, want %s", fin.Err, tt.reason)
			}
			got := o.deleted()
			if tt.deleted != nil && !slices.Equal(got, tt.deleted) || fin.Deleted != int64(len(got)) {
				t.Errorf("deleted %q, counted %d, want %q", got, fin.Deleted, tt.deleted)
			}
			if tt.reason != "" {
				o.fails(1, transfer.MaxDelete)
				if !exists(g.path("d/a/0")) {
					t.Error("it is gone")
				}
			} else if !tt.dry {
				g.wantFile("d/a", []byte("1"))
			}
			if tt.dry && before != snapshot(t, g.dir) {
				t.Error("a dry run changed something")
			}
			g.wantClean()
		})
	}
}

// A sync deletes nothing more when what is in the way was too much, and counts
// what gave way.
func TestForceAndDeleteShareALimit(t *testing.T) {
	for limit, want := range map[int64]int64{1: 0, 2: 2, 3: 3} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			g := newRig(t)
			g.write("d/a/x", nil, testTime)
			g.write("d/old", nil, testTime)
			_, fin := g.copyAll(g.request("d", deleting(func(o *transfer.Options) { o.Force, o.MaxDelete = true, &limit })),
				dir(root, ""), regular(0, "a", []byte("1")), endDir(0))
			if fin.Deleted != want || (transfer.ReasonOf(errorOf(fin.Err)) == transfer.MaxDelete) != (limit < 3) || exists(g.path("d/old")) != (limit < 3) {
				t.Errorf("%d deleted, %v", fin.Deleted, fin.Err)
			}
			g.wantClean()
		})
	}
}

// The way out that loses nothing is named first.
func TestHintsOfConflicts(t *testing.T) {
	g := newRig(t)
	g.write("d/sub/x", nil, testTime)
	g.write("f", nil, testTime)
	if err := os.Symlink("d", g.path("l")); err != nil {
		t.Fatal(err)
	}
	file := regular(root, "", []byte("1"))
	tests := []struct {
		dest string
		list []source
		want string
	}{
		{"d", []source{file}, "to copy into it, end the destination with a slash: n2:" + g.path("d") + "/; --force deletes the directory with everything in it"},
		{"l", []source{file}, "to copy into it, end the destination with a slash: n2:" + g.path("l") + "/; --force replaces the link"},
		{"", []source{file}, "to copy into it, end the destination with a slash: n2:" + g.dir + "/"},
		{"f", []source{dir(root, "")}, "remove what is in the way, or allow it with --force"},
		{"d", []source{dir(root, ""), regular(0, "sub", nil)}, "remove the directory, or let --force delete it with everything in it"},
	}
	for _, tt := range tests {
		m := g.request("d", func(m *transfer.Open) { m.Dest = filepath.Join(g.dir, tt.dest) })
		o, _ := g.copyAll(m, tt.list...)
		n := uint64(len(tt.list) - 1)
		o.fails(n, transfer.DestTypeConflict)
		if r := o.result(n); r.Err == nil || r.Err.Hint != tt.want {
			t.Errorf("%s: %v, want the hint %q", tt.dest, r.Err, tt.want)
		}
	}
	o, fin := g.copyAll(g.request("l", func(m *transfer.Open) { m.Options.Force = true }), file)
	if got := o.deleted(); !slices.Equal(got, []string{"l"}) || fin.Deleted != 1 {
		t.Errorf("deleted %q, %d", got, fin.Deleted)
	}
	g.wantFile("l", []byte("1"))
	if !exists(g.path("d/sub/x")) {
		t.Error("the directory behind the link was touched")
	}
	g.wantClean()
}

// Another transfer into the same tree, or a stranger, puts a file at a name that was
// free: the last one counts, in a directory of the transfer's own making too.
func TestNameIsTakenMeanwhile(t *testing.T) {
	g := newRig(t)
	o := g.dial(g.request("d"))
	o.announce(dir(root, ""), regular(0, "f", pattern(2*testChunk, 1)), endDir(0))
	o.answer(1)
	g.write("d/f", []byte("theirs"), testTime)
	o.sendRange(1, o.sources[1].whole())
	o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 1}}})
	o.want(1, transfer.OutcomePublished)
	o.finish()
	g.wantFile("d/f", pattern(2*testChunk, 1))
	g.wantClean()
}
