package faults

import (
	"maps"
	"path/filepath"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// scenario is a transfer: what there is, what is asked for, what has to come of
// it.
type scenario struct {
	name   string
	below  string // directories above the destination that it has to make
	source tree
	before tree // at the destination
	after  tree
	adapt  func(*xferv1.TransferSpec)
	inside bool // the owner is the target as well
}

// smallTree has one of everything that takes another way through the target.
func smallTree() tree {
	t := tree{}
	t.file("a", 700, 2)
	t.file("empty", 0, 2)
	t.file("large", 3<<20+123, 2) // four extents
	t.file("larger-than-packs", 300<<10, 2)
	t.file("old", 900, 2)
	t.file("old-large", 2<<20+1, 2)
	t.file("same", 500, 2)
	t.hardlink("second", "a")
	t.symlink("symlink", "a")
	t.dir("dir")
	t.file("dir/b", 5000, 2)
	t.dir("dir/deep")
	t.file("dir/deep/c", 1, 2)
	t.dir("none")
	return t
}

// oldTree is what smallTree finds at the destination.
func oldTree() tree {
	t := tree{}
	t.file("old", 1900, 1)
	t.file("old-large", 40<<10, 1)
	t["same"] = smallTree()["same"]
	return t
}

// scenarios are all that is enumerated.
func scenarios() map[string]*scenario {
	source := smallTree()
	kept := tree{}
	maps.Copy(kept, source)
	all := []*scenario{
		{name: "copy", before: oldTree(), after: source},
		{name: "inside", before: oldTree(), after: source, inside: true},
		{name: "none", before: oldTree(), after: source, adapt: func(s *xferv1.TransferSpec) {
			s.Durability = xferv1.Durability_DURABILITY_NONE
		}},
		{name: "into-nothing", below: "x/y", after: source, adapt: func(s *xferv1.TransferSpec) {
			s.Verify = xferv1.Verify_VERIFY_STORE
		}},
	}
	sync := &scenario{name: "sync", before: oldTree(), after: source, adapt: func(s *xferv1.TransferSpec) {
		s.Mode, s.Delete = xferv1.Mode_MODE_SYNC, true
	}}
	sync.before.file("extra", 100, 1)
	sync.before.dir("dir")
	sync.before.dir("dir/gone")
	sync.before.file("dir/gone/f", 10, 1)
	sync.before.file("dir/extra", 10, 1)
	force := &scenario{name: "force", before: oldTree(), after: source, adapt: func(s *xferv1.TransferSpec) {
		s.Force, s.Compare = true, xferv1.Compare_COMPARE_CHECKSUM
	}}
	force.before.dir("a") // a file comes there
	force.before.file("a/f", 10, 1)
	force.before.file("dir", 10, 1) // a directory comes there
	force.before.symlink("empty", "same")
	all = append(all, sync, force)
	by := map[string]*scenario{}
	for _, s := range all {
		s.source = source
		by[s.name] = s
	}
	return by
}

func (s *scenario) String() string { return filepath.Join(s.name) }
