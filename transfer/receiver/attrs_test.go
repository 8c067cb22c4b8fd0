package receiver

import (
	"errors"
	"math"
	"syscall"
	"testing"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/test/needs"
	"github.com/xferd/xferd/transfer"
)

// TestSetidIsKeptOnlyForTheSameOwner: a setuid program never becomes one of
// somebody else.
func TestSetidIsKeptOnlyForTheSameOwner(t *testing.T) {
	uid5 := uint32(5)
	tests := []struct {
		name   string
		p      policy
		uid    uint32
		mode   uint32
		want   uint32
		lost   transfer.Preserve
		ignore bool
	}{
		{name: "owner kept", p: policy{keep: transfer.PreserveArchive}, uid: 7, mode: 0o6755, want: 0o6755},
		{name: "root to root", p: policy{keep: transfer.PreserveDefault}, uid: 0, mode: 0o4755, want: 0o4755},
		{name: "user to root", p: policy{keep: transfer.PreserveDefault}, uid: 7, mode: 0o4755, want: 0o755, lost: transfer.PreserveMode},
		{name: "chown", p: policy{keep: transfer.PreserveArchive, chownUID: &uid5}, uid: 7, mode: 0o4755, want: 0o755, lost: transfer.PreserveMode},
		{name: "not asked for", p: policy{}, uid: 0, mode: 0o4777, want: 0o755},
	}
	for _, tt := range tests {
		e := transfer.Entry{Kind: transfer.KindFile, Meta: transfer.Meta{Perm: tt.mode, UID: tt.uid}}
		a := tt.p.want(&e, nil)
		if a.meta.Perm != tt.want || a.lost != tt.lost {
			t.Errorf("%s: mode %o, lost %b; want %o, %b", tt.name, a.meta.Perm, a.lost, tt.want, tt.lost)
		}
	}
	// And when the owner turns out not to be ours to set.
	var set []fsroot.Meta
	lost, err := setMeta(func(m fsroot.Meta) error {
		if m.Set&(fsroot.SetOwner|fsroot.SetGroup) != 0 {
			return syscall.EPERM
		}
		set = append(set, m)
		return nil
	}, fsroot.Meta{Set: fsroot.SetOwner | fsroot.SetPerm, Perm: 0o4755, UID: 7})
	if err != nil || lost != transfer.PreserveOwner|transfer.PreserveMode || len(set) != 1 || set[0].Perm != 0o755 {
		t.Errorf("lost %b, %v, set %+v", lost, err, set)
	}
	if _, err := setMeta(func(fsroot.Meta) error { return syscall.EIO }, fsroot.Meta{Set: fsroot.SetPerm}); !errors.Is(err, syscall.EIO) {
		t.Errorf("%v", err)
	}
}

func TestOwnerXattrsAndACLs(t *testing.T) {
	needs.Root(t)
	g := newRig(t)
	acl := []byte{2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 12, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255}
	f := regular(0, "f", []byte("x"))
	f.Meta.Perm, f.Meta.UID, f.Meta.GID = 0o4640, 1234, 1235
	f.Meta.Xattrs = []transfer.Xattr{{Name: "user.a", Value: []byte("1")}, {Name: aclAccess, Value: acl}}
	d := dir(root, "")
	d.Meta.Xattrs = []transfer.Xattr{{Name: "user.d", Value: []byte("2")}}
	l := symlink(0, "l", "f")
	l.Meta.UID = 1234
	archive := func(m *transfer.Open) { m.Options.Preserve = transfer.PreserveArchive }
	list := []source{d, f, l, endDir(0)}
	o, fin := g.copyAll(g.request("d", archive), list...)
	if fin.Err != nil {
		t.Fatal(fin.Err)
	}
	for n := range uint64(3) {
		if r := o.want(n, transfer.OutcomePublished); r.Lost != 0 {
			t.Errorf("entry %d lost %b", n, r.Lost)
		}
	}
	root, rel, _ := g.exp.Resolve(g.path("d"), false)
	dd, err := root.OpenDir(rel)
	if err != nil {
		t.Fatal(err)
	}
	defer dd.Close()
	info, err := dd.Lstat("f")
	if err != nil || info.Perm != 0o4640 || info.UID != 1234 || info.GID != 1235 {
		t.Errorf("%+v %v", info, err)
	}
	if info, _ := dd.Lstat("l"); info.UID != 1234 {
		t.Errorf("link %+v", info)
	}
	h, err := dd.Open("f")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if x, err := h.Xattrs(nil); err != nil || len(x) != 2 {
		t.Errorf("%+v %v", x, err)
	}
	if x, err := dd.Xattrs(nil); err != nil || len(x) != 1 {
		t.Errorf("directory: %+v %v", x, err)
	}
	// Same again, and then with other attributes: changed in place.
	o, _ = g.copyAll(g.request("d", archive), list...)
	o.want(1, transfer.OutcomeSame)
	list[1].Meta.Xattrs = []transfer.Xattr{{Name: "user.b", Value: []byte("1")}}
	list[1].Meta.UID = 99
	o, _ = g.copyAll(g.request("d", archive), list...)
	if r := o.want(1, transfer.OutcomePublished); r.Change != transfer.ChangeXattrs|transfer.ChangeACL|transfer.ChangeOwner || r.Bytes != 0 {
		t.Errorf("%+v", r)
	}
	if x, _ := h.Xattrs(nil); len(x) != 1 || x[0].Name != "user.b" {
		t.Errorf("%+v", x)
	}
	g.wantClean()
}

// A time beyond the years 1677 to 2262, or beyond what the file system has, is
// clamped by the kernel without a word; we tell.
func TestP9TimesOutOfRangeAreToldAsLost(t *testing.T) {
	g := newRig(t)
	at := func(s source, mtime int64) source {
		s.Meta.Mtime = mtime
		return s
	}
	o, _ := g.copyAll(g.request("d"), dir(root, ""),
		at(regular(0, "far", []byte("1")), math.MaxInt64), at(symlink(0, "link", "x"), math.MaxInt64), at(dir(0, "sub"), math.MinInt64),
		at(regular(0, "before", []byte("1")), -1), at(regular(0, "late", []byte("1")), 1<<62), regular(0, "now", []byte("1")))
	for n, lost := range []transfer.Preserve{0, transfer.PreserveTimes, transfer.PreserveTimes, transfer.PreserveTimes, 0, 0, 0} {
		got := o.result(uint64(n)).Lost
		for _, r := range o.more { // directories tell at the end
			if r.Entry == uint64(n) {
				got |= r.Lost
			}
		}
		if got != lost {
			t.Errorf("entry %d (%q) lost %b, want %b", n, o.sources[uint64(n)].Name, got, lost)
		}
	}
	g.wantClean()
}
