package receiver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xferd/xferd/transfer"
)

// names is a copy of what has these names into a directory.
func names(list ...string) func(*transfer.Open) {
	return func(m *transfer.Open) { m.DestMode, m.Names = transfer.DestInto, list }
}

func exact(*transfer.Open) {}

// locking is a destination that is held and another one that is asked for.
type locking struct {
	name        string
	held        string
	holder      func(*transfer.Open)
	dest        string
	request     func(*transfer.Open)
	busy        bool
	dirs, files []string
	links       [][2]string // name, target; hard: before that of a hard link
	says, at    string      // of the refusal, not when the two change places
}

func TestLockOfNames(t *testing.T) {
	tests := []locking{
		{name: "other names", held: "d", holder: names("x", "y"), dest: "d", request: names("z", "\xff")},
		{name: "one name", held: "d", holder: names("x", "y"), dest: "d", request: names("z", "y"), busy: true, says: "holds the same destination", at: "d/y"},
		{name: "a name that is not UTF-8", held: "d", holder: names("\xff"), dest: "d", request: names("\xff"), busy: true, at: "d/\xff"},
		{name: "what begins like it", held: "d", holder: names("x"), dest: "d", request: names("xy")},
		{name: "names not known", held: "d", holder: names("x"), dest: "d", request: into, busy: true, at: "d"},
		{name: "the directory as a whole", held: "d", holder: names("x"), dest: "d", request: exact, busy: true, at: "d"},
		{name: "the directory, which is there", held: "d", holder: names("x"), dest: "d", request: exact, dirs: []string{"d"}, busy: true},
		{name: "exact at the name", held: "d", holder: names("x"), dest: "d/x", request: exact, busy: true, says: "holds the same destination", at: "d/x"},
		{name: "exact at the name, earlier", held: "d/x", holder: exact, dest: "d", request: names("w", "x"), busy: true, says: "holds the same destination", at: "d/x"},
		{name: "exact at the name, a directory", held: "d", holder: names("x"), dest: "d/x", request: exact, dirs: []string{"d/x"}, busy: true},
		{name: "exact at the name, a file", held: "d", holder: names("x"), dest: "d/x", request: exact, files: []string{"d/x"}, busy: true},
		{name: "exact at the name, a link", held: "d", holder: names("x"), dest: "d/x", request: exact, dirs: []string{"d", "else"}, links: [][2]string{{"d/x", "../else"}}, busy: true},
		{name: "exact where a link of the name leads", held: "d", holder: names("x"), dest: "else", request: exact, dirs: []string{"d", "else"}, links: [][2]string{{"d/x", "../else"}}},
		{name: "exact at a link to the name", held: "d", holder: names("x"), dest: "l", request: exact, dirs: []string{"d/x"}, links: [][2]string{{"l", "d/x"}}, busy: true, says: "/d/x, which overlaps"},
		{name: "exact at another name", held: "d", holder: names("x"), dest: "d/y", request: exact},
		{name: "exact below the name", held: "d", holder: names("x"), dest: "d/x/y", request: exact},
		{name: "into the name", held: "d", holder: names("x"), dest: "d/x", request: names("x")},
		{name: "through a link", held: "d", holder: names("x"), dest: "l", request: names("x"), dirs: []string{"d"}, links: [][2]string{{"l", "d"}}, busy: true, says: "/d/x, which overlaps"},
		{name: "others through a link", held: "d", holder: names("x"), dest: "l", request: names("y"), dirs: []string{"d"}, links: [][2]string{{"l", "d"}}},
		{name: "exact through a link", held: "d", holder: names("x"), dest: "l/x", request: exact, dirs: []string{"d"}, links: [][2]string{{"l", "d"}}, busy: true},
		{name: "two hard links", held: "d", holder: names("a"), dest: "d", request: names("b"), files: []string{"d/a"}, links: [][2]string{{"d/b", "hard:d/a"}}},
		{name: "a mirror at the name", held: "d", holder: names("x"), dest: "d/x", request: deleting(), busy: true},
		{name: "a mirror at the name, a directory", held: "d", holder: names("x"), dest: "d/x", request: deleting(), dirs: []string{"d/x"}, busy: true},
		{name: "a mirror below the name", held: "d", holder: names("x"), dest: "d/x/sub", request: deleting(), dirs: []string{"d/x/sub"}, busy: true, says: "/d/x, which overlaps"},
		{name: "a mirror below the name, which is not there", held: "d", holder: names("x"), dest: "d/x/sub", request: deleting(), busy: true},
		{name: "a mirror at another name", held: "d", holder: names("x"), dest: "d/y", request: deleting()},
		{name: "a mirror at another name, a directory", held: "d", holder: names("x"), dest: "d/y", request: deleting(), dirs: []string{"d/y", "d/x"}},
		{name: "a mirror of the directory", held: "d", holder: names("x"), dest: "d", request: deleting(), busy: true},
		{name: "a mirror above", held: "a/d", holder: names("x"), dest: "a", request: deleting(), busy: true},
		{name: "a mirror elsewhere", held: "d", holder: names("x"), dest: "e", request: deleting()},
		{name: "a mirror where a link of the name leads", held: "d", holder: names("x"), dest: "e", request: deleting(), dirs: []string{"d", "e"}, links: [][2]string{{"d/x", "../e"}}},
		{name: "a mirror below the name, through a link", held: "d", holder: names("x"), dest: "l/x/y", request: deleting(), dirs: []string{"d"}, links: [][2]string{{"l", "d"}}, busy: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.run(t)
			tt.held, tt.holder, tt.dest, tt.request = tt.dest, tt.request, tt.held, tt.holder
			tt.says, tt.at = "", ""
			tt.run(t)
		})
	}
}

func (tt *locking) run(t *testing.T) {
	t.Helper()
	g := newRig(t)
	for _, p := range tt.dirs {
		if err := os.MkdirAll(g.path(p), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range tt.files {
		g.write(p, []byte("x"), testTime)
	}
	for _, l := range tt.links {
		link := os.Symlink
		to, hard := strings.CutPrefix(l[1], "hard:")
		if hard {
			link, to = os.Link, g.path(to)
		}
		if err := link(to, g.path(l[0])); err != nil {
			t.Fatal(err)
		}
	}
	holder := g.request(tt.held, tt.holder, func(m *transfer.Open) { m.ID = "holder" })
	o := g.dial(holder)
	tt.check(g)
	o.close()
	g.restart()
	tt.check(g) // as it was stored
	holder.Epoch += 1000
	g.dial(holder).abort(transfer.EndPurge)
	if tt.busy {
		g.dial(g.request(tt.dest, tt.request)).abort(transfer.EndPurge) // it is free now
	}
	g.wantClean()
}

// check asks for the destination while it is held.
func (tt *locking) check(g *rig) {
	t := g.t
	t.Helper()
	second := g.request(tt.dest, tt.request)
	validate := *second
	validate.ValidateOnly = true
	if !tt.busy {
		g.dial(&validate).close()
		g.dial(second).abort(transfer.EndPurge)
		return
	}
	for _, m := range []*transfer.Open{second, &validate} {
		err := g.refused(m, Peer{})
		if err.Reason != transfer.DestBusy || !strings.Contains(err.Error(), "nodes/n1/transfers/holder holds") || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%v", err)
		}
		if tt.at != "" && err.Path != g.path(tt.at) {
			t.Errorf("at %q, want %q", err.Path, g.path(tt.at))
		}
	}
}

// A lock of a version that knew no names, and one of more names than are kept, are of
// the whole directory.
func TestLockWithoutNames(t *testing.T) {
	g := newRig(t)
	var many []string
	for i := range maxNameBytes / 200 {
		many = append(many, strings.Repeat("n", 200)+string(rune('a'+i%26))+strings.Repeat("m", i/26%50))
	}
	o := g.dial(g.request("d", names(many...)))
	if err := g.refused(g.request("d", names("x")), Peer{}); err.Reason != transfer.DestBusy {
		t.Errorf("%v", err)
	}
	o.announce(regular(root, "other", nil)) // it is all his
	o.want(0, transfer.OutcomePublished)
	o.abort(transfer.EndCancel)
	g.wantClean()
}

func TestNamesThatAreNone(t *testing.T) {
	g := newRig(t)
	for _, change := range []func(*transfer.Open){
		names(""), names("."), names("x", ".."), names("a/b"), names("a\x00"),
		func(m *transfer.Open) { m.Names = []string{"x"} },
		func(m *transfer.Open) { names("x")(m); m.Mode = transfer.ModeSync },
	} {
		m := g.request("d", change)
		if err := g.refused(m, Peer{}); err.Reason != transfer.InvalidSpec {
			t.Errorf("%q into %s: %v", m.Names, m.DestMode, err)
		}
	}
	if list, _ := filepath.Glob(g.dir + "/*"); len(list) != 0 {
		t.Errorf("refusals left something: %q", list)
	}
}

// A root entry under a name that was not asked for, and that somebody else may hold,
// ends the edge before anything is made of it.
func TestRootEntryBesideTheNames(t *testing.T) {
	for _, ent := range []source{regular(root, "y", []byte("y")), dir(root, "y"), dir(root, ""), symlink(root, "y", "x")} {
		for _, dry := range []bool{false, true} {
			g := newRig(t)
			g.write("d/y", []byte("old"), testTime)
			o := g.dial(g.request("d", names("x"), func(m *transfer.Open) { m.Options.DryRun = dry }))
			o.announce(regular(root, "x", nil), ent)
			m, ok := o.next().(*transfer.Refused)
			if !ok || m.Err.Reason != transfer.ProtocolError || m.Err.Reason.Transient() {
				t.Fatalf("%T %v", m, m)
			}
			o.close()
			g.wantFile("d/y", []byte("old"))
			if exists(g.path("d/x")) {
				t.Error("an entry of the same message was taken")
			}
			g.wantNoTemps()
		}
	}
}
