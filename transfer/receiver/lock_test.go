package receiver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xferd/xferd/transfer"
)

func TestLock(t *testing.T) {
	del := func(m *transfer.Open) { m.Mode, m.Options.Delete = transfer.ModeSync, true }
	into := func(m *transfer.Open) { m.DestMode = transfer.DestInto }
	none := func(*transfer.Open) {}
	tests := []struct {
		name         string
		first        string
		firstOpt     func(*transfer.Open)
		second       string
		secondOpt    func(*transfer.Open)
		busy         bool
		there, links map[string]string
	}{
		{name: "equal", first: "a/b", second: "a/b", busy: true},
		{name: "equal, other mode", first: "a/b", second: "a/b", secondOpt: into, busy: true},
		{name: "beside", first: "a/b", second: "a/c"},
		{name: "prefix of a name", first: "a/b", second: "a/bc", secondOpt: del},
		{name: "nested", first: "a", second: "a/b"},
		{name: "nested, outer deletes", first: "a", firstOpt: del, second: "a/b", busy: true},
		{name: "nested, inner deletes", first: "a", second: "a/b/c", secondOpt: del, busy: true},
		{name: "outer later, deletes", first: "a/b/c", second: "a", secondOpt: del, busy: true},
		{name: "through a link", first: "real/d", second: "link/d", links: map[string]string{"link": "real"}, there: map[string]string{"real": ""}, busy: true},
		{name: "a link to it", first: "real", firstOpt: into, second: "link", links: map[string]string{"link": "real"}, there: map[string]string{"real": ""}, busy: true},
		{name: "nested by a link, outer deletes", first: "y", firstOpt: del, second: "x/l/w", there: map[string]string{"y/z": "", "x": ""}, links: map[string]string{"x/l": "../y/z"}, busy: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t)
			for p := range tt.there {
				if err := os.MkdirAll(g.path(p), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for p, to := range tt.links {
				if err := os.Symlink(to, g.path(p)); err != nil {
					t.Fatal(err)
				}
			}
			if tt.firstOpt == nil {
				tt.firstOpt = none
			}
			if tt.secondOpt == nil {
				tt.secondOpt = none
			}
			o := g.dial(g.request(tt.first, tt.firstOpt, func(m *transfer.Open) { m.ID = "holder" }))
			o.announce(dir(root, ""))
			if tt.firstOpt != nil && o.open.DestMode == transfer.DestExact {
				o.want(0, o.result(0).Outcome)
			}
			second := g.request(tt.second, tt.secondOpt)
			if tt.busy {
				err := g.refused(second, Peer{})
				if err.Reason != transfer.DestBusy || !strings.Contains(err.Error(), "nodes/n1/transfers/holder") {
					t.Errorf("%v", err)
				}
				validate := *second
				validate.ValidateOnly = true
				if err := g.refused(&validate, Peer{}); err.Reason != transfer.DestBusy {
					t.Errorf("%v", err)
				}
			} else {
				g.dial(second).abort(transfer.EndPurge)
			}
			o.abort(transfer.EndPurge)
			if tt.busy {
				g.dial(second).abort(transfer.EndPurge) // it is free now
			}
			g.wantClean()
		})
	}
}

func TestLockSurvivesPauseAndRestart(t *testing.T) {
	g := newRig(t)
	m := g.request("a/b")
	o := g.dial(m)
	o.abort(transfer.EndPause)
	check := func() {
		t.Helper()
		if err := g.refused(g.request("a/b"), Peer{}); err.Reason != transfer.DestBusy {
			t.Errorf("%v", err)
		}
	}
	check()
	g.restart()
	check()
	if in := g.Incoming(); len(in) != 1 || !in[0].Paused || in[0].Running || in[0].Dest != m.Dest {
		t.Errorf("%+v", in)
	}
	// The same transfer takes its own lock again, with a newer epoch only.
	if err := g.refused(m, Peer{}); err.Reason != transfer.StaleEpoch {
		t.Errorf("%v", err)
	}
	again := *m
	again.Epoch += 1000
	g.dial(&again).abort(transfer.EndCancel)
	g.wantClean()
	if exists(g.path("a")) {
		t.Error("P6: the directory that it made is left")
	}
	// The epoch is remembered beyond the end.
	if err := g.refused(m, Peer{}); err.Reason != transfer.StaleEpoch {
		t.Errorf("%v", err)
	}
	// Of another state of the same owner nothing is known.
	other := *m
	other.StateUUID = "s2"
	g.dial(&other).abort(transfer.EndCancel)
}

func TestNewerAttemptEndsTheOlder(t *testing.T) {
	g := newRig(t)
	m := g.request("a")
	o := g.dial(m)
	newer := *m
	newer.Epoch += 1000
	o2 := g.dial(&newer)
	err := <-o.served
	o.served <- err
	if err != errSuperseded {
		t.Errorf("%v", err)
	}
	o.close()
	o2.abort(transfer.EndCancel)
	g.wantClean()
}

func TestOrphanedLockLapses(t *testing.T) {
	g := newRig(t, func(c *Config) { c.OrphanTTL = time.Hour })
	lost := g.dial(g.request("x/lost"))
	lost.close()
	paused := g.dial(g.request("y/paused"))
	paused.abort(transfer.EndPause)
	held := g.dial(g.request("z/held"))
	if err := g.sweep(time.Now().Add(59 * time.Minute)); err != nil || len(g.Incoming()) != 3 {
		t.Errorf("%v %+v", err, g.Incoming())
	}
	if err := g.sweep(time.Now().Add(2 * time.Hour)); err != nil || len(g.Incoming()) != 2 {
		t.Errorf("%v %+v", err, g.Incoming())
	}
	if exists(g.path("x")) {
		t.Error("P6: the empty directory of the lost one is left")
	}
	if err := g.sweep(time.Now().Add(8 * 24 * time.Hour)); err != nil || len(g.Incoming()) != 1 {
		t.Errorf("%v %+v", err, g.Incoming())
	}
	held.abort(transfer.EndCancel)
	g.wantClean()
}

func TestAbandon(t *testing.T) {
	g := newRig(t)
	m := g.request("a/b")
	o := g.dial(m)
	o.announce(regular(root, "", pattern(3*testChunk, 1)))
	o.answer(0)
	o.land(o.extent(0, 0))
	if err := g.Abandon(t.Context(), m.UID); err != nil {
		t.Fatal(err)
	}
	o.close()
	g.wantClean()
	if exists(g.path("a")) {
		t.Error("P6: the directory that it made is left")
	}
	if err := g.Abandon(t.Context(), m.UID); transfer.ReasonOf(err) != transfer.TransferNotFound {
		t.Errorf("%v", err)
	}
}

func TestRefusals(t *testing.T) {
	ro := t.TempDir()
	g := newRig(t)
	outside := t.TempDir()
	for p, to := range map[string]string{"out": outside, "loop": "loop"} {
		if err := os.Symlink(to, g.path(p)); err != nil {
			t.Fatal(err)
		}
	}
	g.write("file", nil, testTime)
	uid := uint32(1<<32 - 1)
	neg := int64(-1)
	tests := map[transfer.Reason][]func(*transfer.Open){
		transfer.PathNotAllowed: {func(m *transfer.Open) { m.Dest = ro }, func(m *transfer.Open) { m.Dest = g.dir + "x/y" }},
		transfer.BadPath: {
			func(m *transfer.Open) { m.Dest = "rel" }, func(m *transfer.Open) { m.Dest = "" }, func(m *transfer.Open) { m.Dest = g.path("a") + "/" },
			func(m *transfer.Open) { m.Dest = g.dir + "/a/../b" }, func(m *transfer.Open) { m.Dest = g.dir + "/a\x00" },
			func(m *transfer.Open) { m.Dest = g.dir + "/" + strings.Repeat("x", 256) },
		},
		transfer.ReservedName: {func(m *transfer.Open) { m.Dest = g.path(".xferd.a/b") }},
		transfer.PathEscapesRoot: {func(m *transfer.Open) { m.Dest = g.path("out/x") }, func(m *transfer.Open) {
			m.Dest, m.DestMode = g.path("out"), transfer.DestInto
		}},
		transfer.DestTypeConflict: {func(m *transfer.Open) { m.Dest = g.path("file/x") }, func(m *transfer.Open) { m.Dest, m.DestMode = g.path("file"), transfer.DestInto },
			func(m *transfer.Open) { m.Dest = g.path("loop/x") }},
		transfer.DestNoSpace: {func(m *transfer.Open) { m.BytesHint = 1 << 62 }},
		transfer.InvalidSpec: {
			func(m *transfer.Open) { m.Options.ChunkSize = 3 << 20 }, func(m *transfer.Open) { m.Options.ChunkSize = -1 },
			func(m *transfer.Open) { m.Options.Streams = 33 }, func(m *transfer.Open) { m.Options.Verify = "x" },
			func(m *transfer.Open) { m.Options.Compare = "x" }, func(m *transfer.Open) { m.Options.Durability = "x" },
			func(m *transfer.Open) { m.Options.Delete = true }, func(m *transfer.Open) { m.Options.MaxDelete = &neg },
			func(m *transfer.Open) { m.UID = transfer.UID{} }, func(m *transfer.Open) { m.Epoch = 0 },
			func(m *transfer.Open) { m.Mode = "x" }, func(m *transfer.Open) { m.DestMode = "x" }, func(m *transfer.Open) { m.Options.ChownUID = &uid },
			func(m *transfer.Open) { m.Options.Chmod = "u" }, func(m *transfer.Open) { m.Options.Filters = []transfer.FilterRule{{Pattern: "["}} },
			func(m *transfer.Open) { m.StateUUID = "" },
		},
		transfer.PermissionDenied: {func(m *transfer.Open) { m.Owner = "n9" }},
	}
	for reason, list := range tests {
		for i, change := range list {
			m := g.request("d", change)
			if err := g.refused(m, Peer{Node: "n1"}); err.Reason != reason {
				t.Errorf("%s %d: %v", reason, i, err)
			}
		}
	}
	g.wantClean()
	if list, _ := filepath.Glob(g.dir + "/*"); len(list) != 3 {
		t.Errorf("refusals left something: %q", list)
	}
}

func TestSameNode(t *testing.T) {
	g := newRig(t)
	g.write("src/f", []byte("x"), testTime)
	g.write("src/sub/g", []byte("x"), testTime)
	if err := os.Symlink("src", g.path("alias")); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(g.path("src/f"), g.path("hard")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		src, dest string
		into      bool
		reason    transfer.Reason
	}{
		{"src/f", "src/f", false, transfer.SameFile},
		{"src/f", "hard", false, transfer.SameFile},
		{"src/f", "src", true, transfer.SameFile},
		{"src", "src", false, transfer.SameFile},
		{"src", "alias", false, transfer.SameFile},
		{"src", "src/sub/copy", false, transfer.DestInsideSource},
		{"src", "src/new/deep", false, transfer.DestInsideSource},
		{"src", "alias/new", false, transfer.DestInsideSource},
		{"src", "src/sub", true, transfer.DestInsideSource},
		{"src/f", "other", false, ""},
		{"src", "other", true, ""},
		{"src/sub", "src", true, transfer.SameFile},
		{"gone", "src/x", false, ""},
	}
	for _, tt := range tests {
		m := g.request(tt.dest, func(m *transfer.Open) {
			m.Sources, m.ValidateOnly = []string{g.path(tt.src)}, true
			if tt.into {
				m.DestMode = transfer.DestInto
			}
		})
		o, first := g.connect(m, Peer{SameNode: true})
		o.close()
		var got transfer.Reason
		if r, ok := first.(*transfer.Refused); ok {
			got = r.Err.Reason
		}
		if got != tt.reason {
			t.Errorf("%s to %s (into %v): %q, want %q", tt.src, tt.dest, tt.into, got, tt.reason)
		}
	}
}
