package receiver

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/transfer"
)

// letGoOf opens a transfer, loses its owner, and lets the target let go of it.
func (g *rig) letGoOf(m *transfer.Open, abandon bool) {
	g.t.Helper()
	g.dial(m).close()
	if abandon {
		if err := g.Abandon(g.t.Context(), m.UID); err != nil {
			g.t.Fatal(err)
		}
	} else if err := g.sweep(time.Now().Add(2 * time.Hour)); err != nil {
		g.t.Fatal(err)
	}
	if in := g.Incoming(); len(in) != 0 {
		g.t.Fatalf("it is held still: %+v", in)
	}
}

// later is the next attempt of a transfer.
func later(m *transfer.Open) *transfer.Open {
	again := *m
	again.Epoch += 1000
	return &again
}

func hourly(c *Config) { c.OrphanTTL = time.Hour }

// TestP10OwnerComesBack: what was let go of must not land on what came since.
func TestP10OwnerComesBack(t *testing.T) {
	into := func(names ...string) func(*transfer.Open) {
		return func(m *transfer.Open) { m.DestMode, m.Names = transfer.DestInto, names }
	}
	tests := []struct {
		name    string
		abandon bool
		dest    string
		change  func(*transfer.Open)
		other   string // of the transfer that comes meanwhile; "" is none
		with    func(*transfer.Open)
		dry     bool
		want    transfer.Reason
	}{
		{name: "abandoned", abandon: true, dest: "a/b", want: transfer.Cancelled},
		{name: "abandoned, and taken", abandon: true, dest: "a/b", other: "a/b", want: transfer.Cancelled},
		{name: "lapsed", dest: "a/b"},
		{name: "lapsed, and taken", dest: "a/b", other: "a/b", want: transfer.DestChanged},
		{name: "lapsed, and taken below", dest: "a", other: "a/b", want: transfer.DestChanged},
		{name: "lapsed, and taken above", dest: "a/b", other: "a", want: transfer.DestChanged},
		{name: "lapsed, and taken beside", dest: "a/b", other: "a/c"},
		{name: "lapsed, and looked at", dest: "a/b", other: "a/b", dry: true},
		{name: "a name lapsed, and taken", dest: "d", change: into("x", "y"), other: "d/y", want: transfer.DestChanged},
		{name: "a name lapsed, and another one taken", dest: "d", change: into("x", "y"), other: "d", with: into("z")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, hourly)
			change := func(*transfer.Open) {}
			if tt.change != nil {
				change = tt.change
			}
			m := g.request(tt.dest, change, func(m *transfer.Open) { m.ID = "first" })
			g.letGoOf(m, tt.abandon)
			if tt.other != "" {
				with := func(*transfer.Open) {}
				if tt.with != nil {
					with = tt.with
				}
				other := g.request(tt.other, with, func(m *transfer.Open) { m.ID, m.Options.DryRun = "second", tt.dry })
				g.dial(other).abort(transfer.EndPurge)
			}
			for range 2 { // also after a restart
				if tt.want == "" {
					break
				}
				err := g.refused(later(m), Peer{Node: "n1"})
				if err.Reason != tt.want || err.Hint == "" {
					t.Errorf("%v", err)
				}
				if tt.want == transfer.DestChanged && !strings.Contains(err.Error(), "nodes/n1/transfers/second") {
					t.Errorf("who has it is not told: %v", err)
				}
				// An owner whose state was restored is the same one.
				restored := later(m)
				restored.StateUUID = "s2"
				if err := g.refused(restored, Peer{Node: "n1"}); err.Reason != tt.want {
					t.Errorf("a restored owner: %v", err)
				}
				g.restart(hourly)
			}
			if tt.want == "" {
				g.restart(hourly)
				g.dial(later(m)).abort(transfer.EndPurge)
				if n := g.letGos(); n != 0 {
					t.Errorf("%d records are left of what goes on", n)
				}
			}
			g.wantClean()
		})
	}
}

func (g *rig) letGos() (n int) {
	_ = g.Receiver.t.letGo.All(func(string, letGoRecord) error { n++; return nil })
	return n
}

// TestP10AbandonedWhileItRuns: its owner is told, and refused from then on.
func TestP10AbandonedWhileItRuns(t *testing.T) {
	g := newRig(t)
	m := g.request("a")
	o := g.dial(m)
	if err := g.Abandon(t.Context(), m.UID); err != nil {
		t.Fatal(err)
	}
	o.await("refusal", func() bool {
		for _, m := range o.rest {
			if r, ok := m.(*transfer.Refused); ok {
				return r.Err.Reason == transfer.Cancelled
			}
		}
		return false
	})
	o.close()
	if err := g.refused(later(m), Peer{Node: "n1"}); err.Reason != transfer.Cancelled {
		t.Errorf("%v", err)
	}
	g.wantClean()
}

// TestP10RestoredTarget: a backup has what was let go of before it.
func TestP10RestoredTarget(t *testing.T) {
	g := newRig(t, hourly)
	gone, taken := g.request("a"), g.request("b")
	g.letGoOf(gone, true)
	g.letGoOf(taken, false)
	g.dial(g.request("b")).abort(transfer.EndPurge)
	file := filepath.Join(t.TempDir(), "backup.db")
	if err := g.store.Backup(file); err != nil {
		t.Fatal(err)
	}
	g.stop()
	if _, err := store.Restore(t.Context(), file, g.state, "n2"); err != nil {
		t.Fatal(err)
	}
	g.start(hourly)
	for m, want := range map[*transfer.Open]transfer.Reason{gone: transfer.Cancelled, taken: transfer.DestChanged} {
		if err := g.refused(later(m), Peer{Node: "n1"}); err.Reason != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestP10CrashWhileLettingGo: the record comes first. Whoever was abandoned is refused
// even while the destination is still locked for it; one that lapsed goes on.
func TestP10CrashWhileLettingGo(t *testing.T) {
	g := newRig(t, hourly)
	abandoned, lapsed := g.request("a"), g.request("b")
	for _, m := range []*transfer.Open{abandoned, lapsed} {
		g.dial(m).close()
		if err := g.noteLetGo(t.Context(), m.UID, m == abandoned); err != nil {
			t.Fatal(err)
		}
	}
	g.restart(hourly)
	if n := len(g.Incoming()); n != 2 {
		t.Fatalf("%d are held", n)
	}
	if err := g.refused(later(abandoned), Peer{Node: "n1"}); err.Reason != transfer.Cancelled {
		t.Errorf("%v", err)
	}
	g.dial(later(lapsed)).abort(transfer.EndPurge)
	if err := g.Abandon(t.Context(), abandoned.UID); err != nil {
		t.Error(err)
	}
	g.wantClean()
	if n := g.letGos(); n != 1 {
		t.Errorf("%d records", n)
	}
}

// TestLetGoIsForgotten after a while.
func TestLetGoIsForgotten(t *testing.T) {
	g := newRig(t, hourly)
	m := g.request("a")
	g.letGoOf(m, true)
	if err := g.forgetLetGo(time.Now().Add(letGoMemory - time.Hour)); err != nil || g.letGos() != 1 {
		t.Errorf("%v, %d are remembered", err, g.letGos())
	}
	if err := g.forgetLetGo(time.Now().Add(letGoMemory)); err != nil || g.letGos() != 0 {
		t.Errorf("%v, %d are remembered", err, g.letGos())
	}
	g.dial(later(m)).abort(transfer.EndPurge)
}
