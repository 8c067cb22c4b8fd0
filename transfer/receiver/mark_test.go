package receiver

import (
	"os"
	"strings"
	"testing"

	"github.com/xferd/xferd/transfer"
)

func marked(m *transfer.Open) { m.Mark = true }

func (g *rig) mtime(rel string) int64 {
	g.t.Helper()
	info, err := os.Stat(g.path(rel))
	if err != nil {
		g.t.Fatal(err)
	}
	return info.ModTime().UnixNano()
}

// The mark lies in the destination, or above it where it is not there yet, and is
// gone when the edge is. It leaves no trace in the time of a directory.
func TestMarkOfDestination(t *testing.T) {
	for name, tt := range map[string]struct {
		dest  string
		mode  transfer.DestMode
		there string // "in" and "beside" stand for the names
	}{
		"existing": {"dir", transfer.DestExact, "dir/in"},
		"new":      {"dir/new", transfer.DestExact, "dir/beside"},
		"a file":   {"dir/f", transfer.DestExact, "dir/beside"},
		"into":     {"dir", transfer.DestInto, "dir/in"},
		"into new": {"dir/new", transfer.DestInto, "dir/new/in"},
		"link":     {"link", transfer.DestExact, "dir/in"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			g.write("dir/f", []byte("x"), testTime)
			if err := os.Symlink("dir", g.path("link")); err != nil {
				t.Fatal(err)
			}
			g.touch("dir", testTime)
			m := g.request(tt.dest, marked, func(m *transfer.Open) { m.DestMode = tt.mode })
			names := transfer.MarkOf(m.UID, m.Epoch)
			want := g.path(strings.NewReplacer("/in", "/"+names.In, "/beside", "/"+names.Beside).Replace(tt.there))
			check := func(when string) {
				t.Helper()
				if now := g.mtime("dir"); now != testTime && name != "into new" {
					t.Errorf("the directory's time %s is %d", when, now)
				}
			}
			o := g.dial(m)
			if list := g.temps(); len(list) != 1 || list[0] != want {
				t.Errorf("marks %q, want %q", list, want)
			}
			check("with the mark")
			o.abort(transfer.EndCancel)
			check("after it")
			g.wantClean()
		})
	}
}

// Nothing is marked where nothing is changed, or the owner does not look.
func TestNoMarkOfDestination(t *testing.T) {
	g := newRig(t)
	for name, change := range map[string]func(*transfer.Open){
		"not asked":     func(*transfer.Open) {},
		"dry run":       func(m *transfer.Open) { m.Mark, m.Options.DryRun = true, true },
		"validate only": func(m *transfer.Open) { m.Mark, m.ValidateOnly = true, true },
	} {
		g.write(name+"/f", []byte("x"), testTime)
		o := g.dial(g.request(name, change))
		if list := g.temps(); len(list) != 0 {
			t.Errorf("%s: %q", name, list)
		}
		o.close()
	}
}

// A sync that deletes and copies nothing leaves the directory's time alone, too.
func TestMarkGoesBeforeTheEnd(t *testing.T) {
	g := newRig(t)
	g.write("dir/extra", []byte("x"), testTime)
	g.write("dir/f", []byte("x"), testTime)
	g.touch("dir", testTime)
	top := dir(root, "")
	f := regular(0, "f", []byte("x"))
	_, fin := g.copyAll(g.request("dir", deleting(), marked), top, f, endDir(0))
	if fin.Err != nil || fin.Deleted != 1 {
		t.Errorf("%d deleted, %v", fin.Deleted, fin.Err)
	}
	if now := g.mtime("dir"); now != testTime {
		t.Errorf("the directory's time is %d", now)
	}
	g.wantClean()
}

// The source lies in what would be deleted, and the owner's exports begin below it.
func TestP5SourceIsNotDeleted(t *testing.T) {
	for _, dry := range []bool{true, false} {
		g := newRig(t)
		g.write("d/old/src/f", []byte("x"), testTime)
		g.write("d/a", []byte("x"), testTime)
		top := dir(root, "")
		export, _, err := g.exp.Resolve(g.dir, false)
		if err != nil {
			t.Fatal(err)
		}
		info, err := export.Lstat("d/old/src")
		if err != nil {
			t.Fatal(err)
		}
		top.Print = transfer.Fingerprint{Dev: 1, Ino: info.Ino, Mtime: info.Mtime, Ctime: info.Ctime}
		before := snapshot(t, g.dir)
		m := g.request("d", deleting(func(o *transfer.Options) { o.DryRun = dry }))
		_, fin := g.copyAll(m, top, endDir(0))
		if transfer.ReasonOf(errorOf(fin.Err)) != transfer.SameFile || fin.Deleted != 0 || !exists(g.path("d/a")) {
			t.Errorf("%d deleted, %v", fin.Deleted, fin.Err)
		}
		g.wantFile("d/old/src/f", []byte("x"))
		if after := snapshot(t, g.dir); dry && after != before {
			t.Error("a dry run changed something")
		}
	}
}

// A directory that gives way to a file goes with the mark in it.
func TestMarkIsNotInTheWay(t *testing.T) {
	g := newRig(t)
	g.write("d/x", nil, testTime)
	o, fin := g.copyAll(g.request("d", marked, forced), regular(root, "", []byte("1")))
	o.want(0, transfer.OutcomePublished)
	if fin.Err != nil || fin.Deleted != 2 {
		t.Errorf("%d deleted, %v", fin.Deleted, fin.Err)
	}
	g.wantFile("d", []byte("1"))
	g.wantClean()
}

// A lost owner, and a node that dies, leave no mark.
func TestP6NoMarkIsLeft(t *testing.T) {
	g := newRig(t)
	g.write("dir/f", []byte("x"), testTime)
	g.dial(g.request("dir", marked)).close()
	g.wantNoTemps()

	g.crash(func(j *journal, names tempNames) {
		rec := tempFrame{Entry: transfer.NoEntry, Name: names.name(0), Dir: g.path("dir")}
		g.frame(j, frameTemp, rec.append(nil))
		g.write("dir/"+names.name(0), nil, testTime)
	})
	g.restart()
	g.wantNoTemps()
}
