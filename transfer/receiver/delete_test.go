package receiver

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/xferd/xferd/transfer"
)

func deleting(change ...func(*transfer.Options)) func(*transfer.Open) {
	return func(m *transfer.Open) {
		m.Mode, m.Options.Delete = transfer.ModeSync, true
		for _, c := range change {
			c(&m.Options)
		}
	}
}

func mirror(extra ...source) []source {
	return append([]source{dir(root, ""), regular(0, "keep", []byte("1")), dir(0, "sub"), endDir(0), regular(2, "g", []byte("2")), endDir(2)}, extra...)
}

// clutter puts things at the destination that the source does not have.
func (g *rig) clutter() {
	for _, p := range []string{"d/old", "d/sub/old", "d/gone/a/b", "d/gone/c", "d/keep.bak", "d/kept/x.bak", "d/kept/y"} {
		g.write(p, []byte("old"), testTime)
	}
}

func (o *owner) deleted() (list []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.more {
		if r.Outcome == transfer.OutcomeDeleted {
			list = append(list, r.Path)
		}
	}
	slices.Sort(list)
	return list
}

func TestDelete(t *testing.T) {
	g := newRig(t)
	g.clutter()
	if err := os.Symlink("/etc", g.path("d/etc")); err != nil {
		t.Fatal(err)
	}
	live := "d/gone/.xferd.00112233445566778899aabbccddeeff.1.x"
	g.write(live, nil, testTime)
	o, fin := g.copyAll(g.request("d", deleting(func(o *transfer.Options) { o.Filters = []transfer.FilterRule{{Pattern: "*.bak"}} })), mirror()...)
	if fin.Err != nil {
		t.Fatal(fin.Err)
	}
	// What is excluded stays, and with it what holds it; so does a temp of
	// somebody's.
	want := []string{"etc", "gone/a", "gone/a/b", "gone/c", "kept/y", "old", "sub/old"}
	if got := o.deleted(); !slices.Equal(got, want) || fin.Deleted != int64(len(want)) {
		t.Errorf("deleted %q (%d), want %q", got, fin.Deleted, want)
	}
	for _, p := range []string{"d/keep", "d/sub/g", "d/keep.bak", "d/kept/x.bak", live} {
		if !exists(g.path(p)) {
			t.Errorf("%s is gone", p)
		}
	}
	for _, p := range want {
		if exists(g.path("d/" + p)) {
			t.Errorf("%s is left", p)
		}
	}
	if !exists("/etc") {
		t.Fatal("followed a link")
	}
	os.Remove(g.path(live))
	g.wantClean()
}

func TestDeleteDryRun(t *testing.T) {
	g := newRig(t)
	g.clutter()
	before := snapshot(t, g.dir)
	o, fin := g.copyAll(g.request("d", deleting(func(o *transfer.Options) { o.DryRun = true })), mirror()...)
	want := []string{"gone", "gone/a", "gone/a/b", "gone/c", "keep.bak", "kept", "kept/x.bak", "kept/y", "old", "sub/old"}
	if got := o.deleted(); !slices.Equal(got, want) || fin.Deleted != int64(len(want)) || fin.Err != nil {
		t.Errorf("deleted %q (%d, %v), want %q", got, fin.Deleted, fin.Err, want)
	}
	if after := snapshot(t, g.dir); after != before {
		t.Errorf("changed\n%s\nto\n%s", before, after)
	}
}

func TestMaxDelete(t *testing.T) {
	limit := func(n int64) func(*transfer.Options) { return func(o *transfer.Options) { o.MaxDelete = &n } }
	tests := []struct {
		name  string
		extra int
		opt   func(*transfer.Options)
		over  bool
	}{
		{"at the limit", 10, limit(10), false},
		{"above", 10, limit(9), true},
		{"none allowed", 1, limit(0), true},
		{"none there", 0, limit(0), false},
		{"default", 100, func(*transfer.Options) {}, false},
		{"above the default", 101, func(*transfer.Options) {}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t)
			for i := range tt.extra {
				g.write(fmt.Sprintf("d/x/%d", i), nil, testTime)
			}
			o, fin := g.copyAll(g.request("d", deleting(tt.opt)), dir(root, ""), dir(0, "x"), endDir(0), endDir(1))
			left, _ := os.ReadDir(g.path("d/x"))
			if tt.over {
				if transfer.ReasonOf(errorOf(fin.Err)) != transfer.MaxDelete || len(left) != tt.extra || fin.Deleted != 0 || len(o.deleted()) != 0 {
					t.Errorf("%v, deleted %d, left %d", fin.Err, fin.Deleted, len(left))
				}
			} else if fin.Err != nil || len(left) != 0 || fin.Deleted != int64(tt.extra) {
				t.Errorf("%v, deleted %d, left %d", fin.Err, fin.Deleted, len(left))
			}
			g.wantClean()
		})
	}
}

func TestDeleteDefaultIsATenth(t *testing.T) {
	g := newRig(t, func(c *Config) { c.Credits = 1 << 20 })
	list := []source{dir(root, "")}
	for i := range 1800 {
		list = append(list, regular(0, fmt.Sprint("f", i), nil))
	}
	for i := range 150 {
		g.write(fmt.Sprint("d/old", i), nil, testTime)
	}
	_, fin := g.copyAll(g.request("d", deleting()), append(list, endDir(0))...)
	if fin.Err != nil || fin.Deleted != 150 {
		t.Errorf("%v, %d deleted", fin.Err, fin.Deleted)
	}
	g.wantClean()
}

func TestDeleteSuppressed(t *testing.T) {
	g := newRig(t)
	g.write("d/old", nil, testTime)
	o := g.dial(g.request("d", deleting()))
	o.announce(dir(root, ""))
	o.serve()
	o.send(&transfer.ScanDone{Entries: uint64(len(o.sources)), Failed: 1})
	o.send(&transfer.Finish{})
	if fin := o.finished(); transfer.ReasonOf(errorOf(fin.Err)) != transfer.DeleteSuppressed || !exists(g.path("d/old")) {
		t.Errorf("%v", fin.Err)
	}
	g.wantClean()
}

// A directory that was not listed as a whole (a mount point that -x stops at)
// keeps what it has; the others are mirrored.
func TestDeleteSparesPartsThatWereNotListed(t *testing.T) {
	g := newRig(t)
	g.write("d/old", nil, testTime)
	g.write("d/part/mine", nil, testTime)
	o := g.dial(g.request("d", deleting()))
	part := endDir(1)
	part.Flags = transfer.EntryFailed
	o.announce(dir(root, ""), dir(0, "part"), endDir(0), part)
	o.serve()
	o.send(&transfer.ScanDone{Entries: uint64(len(o.sources))})
	o.send(&transfer.Finish{})
	if fin := o.finished(); fin.Err != nil || fin.Deleted != 1 || exists(g.path("d/old")) || !exists(g.path("d/part/mine")) {
		t.Errorf("%v, %d deleted", fin.Err, fin.Deleted)
	}
	g.wantClean()
}

func TestDeleteManyNamesOfOneDirectory(t *testing.T) {
	g := newRig(t)
	if err := os.MkdirAll(g.path("d/big"), 0o755); err != nil {
		t.Fatal(err)
	}
	const n = 2*maxDeleteNames + 17
	for i := range n {
		if err := os.Symlink("x", g.path(fmt.Sprint("d/big/", i))); err != nil {
			t.Fatal(err)
		}
	}
	limit := int64(n + 1)
	_, fin := g.copyAll(g.request("d", deleting(func(o *transfer.Options) { o.MaxDelete = &limit })), dir(root, ""), endDir(0))
	if fin.Err != nil || fin.Deleted != n+1 || exists(g.path("d/big")) {
		t.Errorf("%v, %d deleted", fin.Err, fin.Deleted)
	}
	g.wantClean()
}

// A source with nothing in it is more often a disk that is not mounted than what
// somebody wants a mirror of.
func TestDeleteOfAllNeedsALimit(t *testing.T) {
	max := func(n int64) *int64 { return &n }
	for _, tt := range []struct {
		name string
		max  *int64
		list []source
		over bool
	}{
		{"empty", nil, []source{dir(root, ""), endDir(0)}, true},
		{"empty, with a limit", max(100), []source{dir(root, ""), endDir(0)}, false},
		{"not empty", nil, []source{dir(root, ""), dir(0, "x"), endDir(0), endDir(1)}, false},
	} {
		for _, dry := range []bool{false, true} {
			t.Run(fmt.Sprint(tt.name, dry), func(t *testing.T) {
				g := newRig(t)
				g.write("d/old", nil, testTime)
				o, fin := g.copyAll(g.request("d", deleting(func(o *transfer.Options) { o.MaxDelete, o.DryRun = tt.max, dry })), tt.list...)
				if (transfer.ReasonOf(errorOf(fin.Err)) == transfer.MaxDelete) != tt.over || exists(g.path("d/old")) != (tt.over || dry) {
					t.Errorf("%v", fin.Err)
				}
				if got := o.deleted(); len(got) != int(fin.Deleted) || (len(got) == 0) != (tt.over && !dry) {
					t.Errorf("deleted %q, counted %d", got, fin.Deleted)
				}
				g.wantClean()
			})
		}
	}
}

func TestMaxDeleteDryRunListsAll(t *testing.T) {
	g := newRig(t)
	g.clutter()
	o, fin := g.copyAll(g.request("d", deleting(func(o *transfer.Options) { n := int64(3); o.DryRun, o.MaxDelete = true, &n })), mirror()...)
	if got := o.deleted(); len(got) != 10 || fin.Deleted != 10 || transfer.ReasonOf(errorOf(fin.Err)) != transfer.MaxDelete {
		t.Errorf("deleted %q (%d, %v)", got, fin.Deleted, fin.Err)
	}
}
