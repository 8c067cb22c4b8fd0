package receiver

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/xferd/xferd/transfer"
)

// write puts a file at the destination.
func (g *rig) write(rel string, data []byte, mtime int64) {
	g.t.Helper()
	p := g.path(rel)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		g.t.Fatal(err)
	}
	if err := os.WriteFile(p, data, 0o640); err != nil {
		g.t.Fatal(err)
	}
	g.touch(rel, mtime)
}

func (g *rig) touch(rel string, mtime int64) {
	g.t.Helper()
	at := time.Unix(0, mtime)
	if err := os.Chtimes(g.path(rel), at, at); err != nil {
		g.t.Fatal(err)
	}
}

func TestDecide(t *testing.T) {
	data := pattern(2000, 1)
	other := pattern(2000, 2)
	tests := []struct {
		name   string
		there  func(g *rig)
		opt    func(o *transfer.Options)
		source source
		out    transfer.Outcome
		change transfer.Change
		reason transfer.Reason
		same   bool // what is there stays
	}{
		{name: "nothing there", out: transfer.OutcomePublished, change: transfer.ChangeNew},
		{name: "same", there: func(g *rig) { g.write("d/f", other, testTime) }, out: transfer.OutcomeSame, same: true},
		{name: "other time", there: func(g *rig) { g.write("d/f", data, testTime+1) }, out: transfer.OutcomePublished, change: transfer.ChangeMtime},
		{name: "other size", there: func(g *rig) { g.write("d/f", data[1:], testTime) }, out: transfer.OutcomePublished, change: transfer.ChangeSize},
		{name: "size only", there: func(g *rig) { g.write("d/f", other, testTime+1) },
			opt: func(o *transfer.Options) { o.Compare = transfer.CompareSize }, out: transfer.OutcomePublished, change: transfer.ChangeMtime, same: true},
		{name: "checksum equal", there: func(g *rig) { g.write("d/f", data, testTime+1) },
			opt: func(o *transfer.Options) { o.Compare = transfer.CompareChecksum }, out: transfer.OutcomePublished, change: transfer.ChangeMtime, same: true},
		{name: "checksum all equal", there: func(g *rig) { g.write("d/f", data, testTime) },
			opt: func(o *transfer.Options) { o.Compare = transfer.CompareChecksum }, out: transfer.OutcomeSame, same: true},
		{name: "checksum differs", there: func(g *rig) { g.write("d/f", other, testTime) },
			opt: func(o *transfer.Options) { o.Compare = transfer.CompareChecksum }, out: transfer.OutcomePublished, change: transfer.ChangeContent},
		{name: "update, newer there", there: func(g *rig) { g.write("d/f", other, testTime+1) },
			opt: func(o *transfer.Options) { o.Update = true }, out: transfer.OutcomeSkipped, same: true},
		{name: "update, older there", there: func(g *rig) { g.write("d/f", other, testTime-1) },
			opt: func(o *transfer.Options) { o.Update = true }, out: transfer.OutcomePublished, change: transfer.ChangeMtime},
		{name: "no clobber", there: func(g *rig) { g.write("d/f", other[1:], testTime-1) },
			opt: func(o *transfer.Options) { o.NoClobber = true }, out: transfer.OutcomeSkipped, same: true},
		{name: "mode", there: func(g *rig) { g.write("d/f", other, testTime); os.Chmod(g.path("d/f"), 0o600) },
			out: transfer.OutcomePublished, change: transfer.ChangePerm, same: true},
		{name: "directory in the way", there: func(g *rig) { g.write("d/f/x", other, testTime) },
			out: transfer.OutcomeFailed, reason: transfer.DestTypeConflict, same: true},
		{name: "directory in the way, force", there: func(g *rig) { g.write("d/f/x", other, testTime) },
			opt: func(o *transfer.Options) { o.Force = true }, out: transfer.OutcomePublished, change: transfer.ChangeType},
		{name: "symlink in the way is replaced, not followed", there: func(g *rig) {
			g.write("canary", other, testTime)
			os.Symlink(g.path("canary"), g.path("d/f"))
		}, out: transfer.OutcomePublished, change: transfer.ChangeType},
		{name: "directory where a file is", there: func(g *rig) { g.write("d/f", other, testTime) }, source: dir(0, "f"),
			out: transfer.OutcomeFailed, reason: transfer.DestTypeConflict, same: true},
		{name: "directory where a file is, force", there: func(g *rig) { g.write("d/f", other, testTime) }, source: dir(0, "f"),
			opt: func(o *transfer.Options) { o.Force = true }, out: transfer.OutcomePublished, change: transfer.ChangeType},
		{name: "directory where a link is", there: func(g *rig) { os.Symlink("/tmp", g.path("d/f")) }, source: dir(0, "f"),
			out: transfer.OutcomeFailed, reason: transfer.DestTypeConflict},
		{name: "link elsewhere", there: func(g *rig) { os.Symlink("old", g.path("d/f")) }, source: symlink(0, "f", "new"),
			out: transfer.OutcomePublished, change: transfer.ChangeTarget | transfer.ChangeMtime},
		{name: "fifo", source: source{Entry: transfer.Entry{Name: "f", Kind: transfer.KindFIFO, Meta: transfer.Meta{Perm: 0o600, Mtime: testTime}}},
			out: transfer.OutcomeSkipped},
		{name: "fifo asked for", source: source{Entry: transfer.Entry{Name: "f", Kind: transfer.KindFIFO, Meta: transfer.Meta{Perm: 0o600, Mtime: testTime}}},
			opt: func(o *transfer.Options) { o.Preserve |= transfer.PreserveSpecials }, out: transfer.OutcomePublished, change: transfer.ChangeNew},
	}
	for _, dry := range []bool{false, true} {
		for _, tt := range tests {
			name := tt.name
			if dry {
				name += ", dry run"
			}
			t.Run(name, func(t *testing.T) {
				g := newRig(t)
				if err := os.Mkdir(g.path("d"), 0o750); err != nil {
					t.Fatal(err)
				}
				if tt.there != nil {
					tt.there(g)
				}
				before := snapshot(t, g.dir)
				s := tt.source
				if s.Kind == 0 {
					s = regular(0, "f", data)
				}
				o, fin := g.copyAll(g.request("d", func(m *transfer.Open) {
					if tt.opt != nil {
						tt.opt(&m.Options)
					}
					m.Options.DryRun = dry
				}), dir(root, ""), s, endDir(0))
				if fin.Err != nil {
					t.Error(fin.Err)
				}
				r := o.want(1, tt.out)
				if r.Change != tt.change || transfer.ReasonOf(errorOf(r.Err)) != tt.reason {
					t.Errorf("change %b, want %b; reason %v, want %s", r.Change, tt.change, r.Err, tt.reason)
				}
				after := snapshot(t, g.dir)
				if dry && before != after {
					t.Errorf("a dry run changed\n%s\nto\n%s", before, after)
				}
				if !dry && tt.out == transfer.OutcomePublished && s.Kind == transfer.KindFile && !tt.same {
					g.wantFile("d/f", data)
				}
				if exists(g.path("canary")) {
					g.wantFile("canary", other)
				}
				g.wantClean()
			})
		}
	}
}

// errorOf turns a nil *Error into a nil error.
func errorOf(e *transfer.Error) error {
	if e == nil {
		return nil
	}
	return e
}

// snapshot describes a tree: names, modes, sizes, times of files and targets.
func snapshot(t *testing.T, top string) string {
	t.Helper()
	out := ""
	err := filepath.WalkDir(top, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := os.Lstat(p)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(top, p)
		out += rel + " " + st.Mode().String() + " " + st.ModTime().String()
		if st.Mode().IsRegular() {
			b, _ := os.ReadFile(p)
			out += " " + string(rune(len(b)))
		}
		if st.Mode()&os.ModeSymlink != 0 {
			l, _ := os.Readlink(p)
			out += " -> " + l
		}
		out += "\n"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLinksFailWithWhatTheyPointTo(t *testing.T) {
	g := newRig(t)
	o := g.dial(g.request("d"))
	o.announce(dir(root, ""), regular(0, "a", pattern(10, 1)), hardlink(0, "b", 1), hardlink(0, "c", 2), hardlink(0, "d", 0), endDir(0))
	o.answer(1)
	o.send(&transfer.EntryGiveUp{Entry: 1, Err: &transfer.Error{Reason: transfer.SourceVanished}})
	o.fails(1, transfer.SourceVanished)
	o.fails(2, transfer.SourceVanished)
	o.fails(3, transfer.SourceVanished)
	o.fails(4, transfer.BadPath)
	o.finish()
	g.wantClean()
}

// TestWhatIsInAFailedDirectory fails for the reason that the directory has.
func TestWhatIsInAFailedDirectory(t *testing.T) {
	g := newRig(t)
	g.write("d/s", []byte("in the way"), testTime)
	o := g.dial(g.request("d"))
	o.announce(dir(root, ""), dir(0, "s"), regular(1, "a", []byte("x")), dir(1, "t"), endDir(1), symlink(3, "l", "x"), endDir(3), endDir(0))
	for _, n := range []uint64{1, 2, 3, 5} {
		o.fails(n, transfer.DestTypeConflict)
	}
	o.serve()
	if r := o.result(5); r.Err.Path != "l" || r.Err.Hint != "" || o.result(1).Err.Hint == "" {
		t.Errorf("%+v", r.Err)
	}
	o.finish()
	g.wantClean()
}

func TestRestartOfAChangedSource(t *testing.T) {
	g := newRig(t)
	o := g.dial(g.request("f"))
	o.announce(regular(root, "", pattern(3*testChunk, 1)))
	o.answer(0)
	o.land(o.extent(0, 0), o.extent(0, testChunk))
	fresh := regular(root, "", pattern(2*testChunk+5, 2))
	o.sources[0].data, o.sources[0].Size, o.sources[0].Print = fresh.data, fresh.Size, fresh.Print
	o.send(&transfer.EntryRestart{Entry: o.sources[0].Entry})
	o.serve()
	o.want(0, transfer.OutcomePublished)
	o.finish()
	g.wantFile("f", fresh.data)
	g.wantClean()
}

func TestChangedBytesAreNotPublished(t *testing.T) {
	g := newRig(t)
	o := g.dial(g.request("f"))
	o.announce(regular(root, "", pattern(2*testChunk, 1)))
	o.answer(0)
	o.sendRange(0, o.sources[0].whole())
	o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 0, Digest: [16]byte{1}}}})
	o.fails(0, transfer.ChecksumMismatch)
	o.finish()
	if exists(g.path("f")) {
		t.Error("published")
	}
	g.wantClean()
}

func TestReadOnlyDirectoriesAreOpenedUp(t *testing.T) {
	g := newRig(t)
	ro := dir(root, "")
	ro.Meta.Perm = 0o555
	sub := dir(0, "sub")
	sub.Meta.Perm = 0o500
	list := []source{ro, sub, regular(0, "f", []byte("1")), regular(1, "g", []byte("1")), endDir(0), endDir(1)}
	for i := range 2 {
		list[2].data, list[3].data = []byte{byte(i)}, []byte{byte(i)}
		list[2].Meta.Mtime, list[3].Meta.Mtime = int64(i), int64(i)
		o, fin := g.copyAll(g.request("d"), list...)
		if fin.Err != nil {
			t.Fatal(fin.Err)
		}
		o.want(2, transfer.OutcomePublished)
		o.want(3, transfer.OutcomePublished)
		for p, mode := range map[string]os.FileMode{"d": 0o555, "d/sub": 0o500} {
			if st, err := os.Stat(g.path(p)); err != nil || st.Mode().Perm() != mode {
				t.Errorf("%s: %v %v", p, st.Mode(), err)
			}
		}
	}
	g.wantClean()
	for _, p := range []string{"d", "d/sub"} { // for the clean-up of the test
		if err := os.Chmod(g.path(p), 0o755); err != nil {
			t.Error(err)
		}
	}
}
