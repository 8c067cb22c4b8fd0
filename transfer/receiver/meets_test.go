package receiver

import (
	"os"
	"syscall"
	"testing"

	"github.com/xferd/xferd/test/needs"
	"github.com/xferd/xferd/transfer"
)

// meeting is one source and one destination of the same node.
type meeting struct {
	src, dest string
	change    func(*transfer.Open)
	reason    transfer.Reason
}

func (g *rig) wantMeetings(tests []meeting) {
	t := g.t
	t.Helper()
	for _, tt := range tests {
		m := g.request(tt.dest, func(m *transfer.Open) {
			m.Sources, m.ValidateOnly = []string{g.path(tt.src)}, true
			if tt.change != nil {
				tt.change(m)
			}
		})
		o, first := g.connect(m, Peer{SameNode: true})
		o.close()
		var got transfer.Reason
		if r, ok := first.(*transfer.Refused); ok {
			got = r.Err.Reason
		}
		if got != tt.reason {
			t.Errorf("%s to %s: %q, want %q", tt.src, tt.dest, got, tt.reason)
		}
	}
}

func forced(m *transfer.Open) { m.Options.Force = true }
func into(m *transfer.Open)   { m.DestMode = transfer.DestInto }

// A source that lies in what the destination deletes or replaces would go with
// it, by whatever name it is called.
func TestP5SourceInsideOfWhatIsDeleted(t *testing.T) {
	g := newRig(t)
	g.write("dir/sub/f", []byte("x"), testTime)
	g.write("file", []byte("x"), testTime)
	for name, to := range map[string]string{"alias": "dir", "inner": "dir/sub"} {
		if err := os.Symlink(to, g.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	g.wantMeetings([]meeting{
		{"dir/sub", "dir", deleting(), transfer.SameFile},
		{"dir/sub", "alias", deleting(), transfer.SameFile},
		{"inner", "dir", deleting(), transfer.SameFile},
		{"dir/sub", "dir", nil, ""},
		{"dir/sub", "alias", nil, ""},
		{"alias/sub/f", "dir", forced, transfer.SameFile},
		{"dir/sub/f", "dir", func(m *transfer.Open) { forced(m); into(m) }, ""},
		{"dir/sub/f", "alias", forced, ""}, // it takes the place of the link
		{"file", "dir", forced, ""},
		{"dir/sub", "elsewhere", deleting(), ""},
	})
}

// The same through a bind mount, which no path without links tells.
func TestP5SourceInsideOfWhatIsDeletedByMount(t *testing.T) {
	needs.Root(t)
	g := newRig(t)
	g.write("dir/sub/in/f", []byte("x"), testTime)
	g.write("dir/other/f", []byte("x"), testTime)
	g.write("mnt a/under", []byte("x"), testTime)
	if err := syscall.Mount(g.path("dir/sub"), g.path("mnt a"), "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(g.path("mnt a"), syscall.MNT_DETACH) })
	g.wantMeetings([]meeting{
		{"mnt a", "dir", deleting(), transfer.SameFile},
		{"mnt a/in", "dir", deleting(), transfer.SameFile},
		{"mnt a/in", "dir/sub", deleting(), transfer.SameFile},
		{"mnt a/in", "dir/other", deleting(), ""},
		{"mnt a", "dir", nil, ""},
		{"dir", "mnt a", nil, transfer.DestInsideSource},
		{"dir", "mnt a/new/deep", nil, transfer.DestInsideSource},
		{"dir/other", "mnt a/new", nil, ""},
	})

	// Locks see it as well.
	o := g.dial(g.request("dir", deleting()))
	if err := g.refused(g.request("mnt a/in"), Peer{}); err.Reason != transfer.DestBusy {
		t.Errorf("beside one that deletes around it: %v", err)
	}
	o.close()
}
