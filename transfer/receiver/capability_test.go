package receiver

import (
	"slices"
	"syscall"
	"testing"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/test/needs"
	"github.com/xferd/xferd/transfer"
)

// netBind is the capability to use ports below 1024, as in the kernel's vfs_cap_data.
var netBind = []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

func TestCapabilities(t *testing.T) {
	needs.Root(t)
	program := func(uid uint32) source {
		f := regular(root, "", []byte("#!"))
		f.Meta.Perm, f.Meta.UID, f.Meta.GID = 0o755, uid, 0
		f.Meta.Xattrs = []transfer.Xattr{{Name: fsroot.Capability, Value: netBind}}
		return f
	}
	five := uint32(5)
	for name, tt := range map[string]struct {
		uid  uint32
		opt  func(*transfer.Options)
		kept bool
		lost transfer.Preserve
	}{
		"everything":      {7, func(o *transfer.Options) { o.Preserve = transfer.PreserveArchive }, true, 0},
		"no attributes":   {7, func(o *transfer.Options) { o.Preserve = transfer.PreserveArchive &^ transfer.PreserveXattrs }, false, 0},
		"another's":       {7, func(o *transfer.Options) { o.Preserve = transfer.PreserveArchive &^ transfer.PreserveOwner }, false, transfer.PreserveXattrs},
		"one's own":       {0, func(o *transfer.Options) { o.Preserve = transfer.PreserveArchive &^ transfer.PreserveOwner }, true, 0},
		"given to others": {7, func(o *transfer.Options) { o.Preserve, o.ChownUID = transfer.PreserveArchive, &five }, false, transfer.PreserveXattrs},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			request := func() *transfer.Open { return g.request("f", func(m *transfer.Open) { tt.opt(&m.Options) }) }
			f := program(tt.uid)
			check := func(want bool) {
				t.Helper()
				var b [64]byte
				n, err := syscall.Getxattr(g.path("f"), fsroot.Capability, b[:])
				if got := err == nil && slices.Equal(b[:n], netBind); got != want {
					t.Errorf("kept %v, want %v (%v)", got, want, err)
				}
			}
			o, _ := g.copyAll(request(), f)
			if r := o.want(0, transfer.OutcomePublished); r.Lost != tt.lost {
				t.Errorf("lost %b, want %b", r.Lost, tt.lost)
			}
			check(tt.kept)
			o, _ = g.copyAll(request(), f)
			o.want(0, transfer.OutcomeSame)
			// A change of the mode alone keeps it, and one of the owner too, though
			// the kernel drops it then.
			f.Meta.Perm = 0o700
			o, _ = g.copyAll(request(), f)
			o.want(0, transfer.OutcomePublished)
			check(tt.kept)
		})
	}
}

func TestCapabilityOfAnOwnerThatCannotBeKept(t *testing.T) {
	a := attrs{xattrs: []transfer.Xattr{{Name: "user.a"}, {Name: fsroot.Capability, Value: netBind}}, manage: func(string) bool { return true }}
	a.meta = fsroot.Meta{Set: fsroot.SetOwner}
	var set fakeAttrs
	lost, err := a.apply(&set, true)
	if err != nil || lost != transfer.PreserveOwner|transfer.PreserveXattrs || !slices.Equal(set.names, []string{"user.a"}) {
		t.Errorf("lost %b, %v, set %q", lost, err, set.names)
	}
}

// fakeAttrs is a file of which the owner cannot be set.
type fakeAttrs struct{ names []string }

func (f *fakeAttrs) SetMeta(m fsroot.Meta) error                      { return syscall.EPERM }
func (f *fakeAttrs) Xattrs(func(string) bool) ([]fsroot.Xattr, error) { return nil, nil }
func (f *fakeAttrs) SetXattr(name string, _ []byte) error {
	f.names = append(f.names, name)
	return nil
}
func (f *fakeAttrs) RemoveXattr(string) error { return nil }
