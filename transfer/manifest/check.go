package manifest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/xferd/xferd/transfer"
)

// The kinds of refusal, to be found with errors.Is.
var (
	// ErrMalformed: bytes that no encoder wrote.
	ErrMalformed = errors.New("malformed")
	// ErrName: a name that is not one path component.
	ErrName = errors.New("bad name")
	// ErrReserved: a name in xferd's own name space.
	ErrReserved = errors.New("name is reserved for xferd's temporary files")
	// ErrEntry: an entry or result whose parts do not fit together, or that is
	// beyond a limit.
	ErrEntry = errors.New("bad entry")
)

// Limits of an entry.
const (
	MaxName       = 255       // bytes in a name
	MaxLink       = 4095      // bytes in a symlink's target
	MaxSize       = 1<<62 - 1 // bytes in a file
	MaxXattrs     = 256       // attributes of an entry
	MaxXattrBytes = 64 << 10  // names and values of all attributes of an entry
	MaxPath       = 64 << 10  // bytes in a path that is shown
)

// ReservedPrefix begins the names of temporary files. No entry may have one.
const ReservedPrefix = ".xferd."

// CheckName reports whether a name may be an entry's: one component of 1 to
// MaxName bytes without NUL, not "." or "..", and not reserved. Errors are
// ErrName and ErrReserved.
func CheckName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("%w %q", ErrName, name)
	case len(name) > MaxName:
		return fmt.Errorf("%w: %d bytes, at most %d are possible", ErrName, len(name), MaxName)
	case strings.IndexByte(name, '/') >= 0 || strings.IndexByte(name, 0) >= 0:
		return fmt.Errorf("%w %q", ErrName, name)
	case strings.HasPrefix(name, ReservedPrefix):
		return fmt.Errorf("%q: %w", name, ErrReserved)
	}
	return nil
}

// CheckEntry reports whether an entry can be in a manifest.
func CheckEntry(e *transfer.Entry) error {
	if e.Kind < transfer.KindFile || e.Kind > transfer.KindRegion {
		return fmt.Errorf("%w: kind %d", ErrEntry, e.Kind)
	}
	if e.Parent != transfer.NoParent && e.Parent >= e.Number {
		return fmt.Errorf("%w %d: its parent %d does not come before it", ErrEntry, e.Number, e.Parent)
	}
	if e.Number == transfer.NoParent {
		return fmt.Errorf("%w: number %d", ErrEntry, e.Number)
	}
	if e.Flags&^(transfer.EntrySparse|transfer.EntryFailed) != 0 {
		return fmt.Errorf("%w %d: flags %#x", ErrEntry, e.Number, e.Flags)
	}
	if e.Kind == transfer.KindEndDir {
		return checkEndDir(e)
	}
	if e.Kind == transfer.KindRegion && (e.Name != "" || e.Parent != transfer.NoParent || e.Flags != 0 || !emptyMeta(&e.Meta)) {
		return fmt.Errorf("%w %d: a region has its bytes and nothing else", ErrEntry, e.Number)
	}
	if e.Name != "" || e.Parent != transfer.NoParent {
		if err := CheckName(e.Name); err != nil {
			return fmt.Errorf("entry %d: %w", e.Number, err)
		}
	}
	if e.Flags&transfer.EntryFailed != 0 || e.Flags&transfer.EntrySparse != 0 && e.Kind != transfer.KindFile {
		return fmt.Errorf("%w %d: flags %#x", ErrEntry, e.Number, e.Flags)
	}
	if e.Size < 0 || e.Size > MaxSize || e.Print.Size < 0 || e.Print.Size > MaxSize {
		return fmt.Errorf("%w %d: size %d", ErrEntry, e.Number, e.Size)
	}
	if e.Meta.Perm&^0o7777 != 0 {
		return fmt.Errorf("%w %d: permission bits %#o", ErrEntry, e.Number, e.Meta.Perm)
	}
	if err := checkLinks(e); err != nil {
		return err
	}
	return checkXattrs(e)
}

// checkEndDir: the end of a listing has nothing but its directory.
func checkEndDir(e *transfer.Entry) error {
	if e.Parent == transfer.NoParent || e.Name != "" || e.Size != 0 || e.Link != "" || e.LinkTo != 0 ||
		e.Flags&transfer.EntrySparse != 0 || e.Print != (transfer.Fingerprint{}) || !emptyMeta(&e.Meta) {
		return fmt.Errorf("%w %d: the end of a directory has a parent and nothing else", ErrEntry, e.Number)
	}
	return nil
}

func emptyMeta(m *transfer.Meta) bool {
	return m.Perm == 0 && m.UID == 0 && m.GID == 0 && m.Mtime == 0 && m.Rdev == 0 && len(m.Xattrs) == 0
}

func checkLinks(e *transfer.Entry) error {
	switch e.Kind {
	case transfer.KindSymlink:
		if e.Link == "" || len(e.Link) > MaxLink || strings.IndexByte(e.Link, 0) >= 0 {
			return fmt.Errorf("%w %d: link target of %d bytes", ErrEntry, e.Number, len(e.Link))
		}
	case transfer.KindHardlink:
		if e.LinkTo >= e.Number {
			return fmt.Errorf("%w %d: hard link to %d, which does not come before it", ErrEntry, e.Number, e.LinkTo)
		}
	}
	if e.Link != "" && e.Kind != transfer.KindSymlink || e.LinkTo != 0 && e.Kind != transfer.KindHardlink {
		return fmt.Errorf("%w %d: it is no link", ErrEntry, e.Number)
	}
	if e.Meta.Rdev != 0 && e.Kind != transfer.KindCharDevice && e.Kind != transfer.KindBlockDevice {
		return fmt.Errorf("%w %d: it is no device", ErrEntry, e.Number)
	}
	return nil
}

// XattrAllowed reports whether an extended attribute may be in a manifest: those
// of users, POSIX ACLs, and the capabilities of programs, not those that belong
// to a system. Whether the target sets it is the target's business.
func XattrAllowed(name string) bool {
	switch name {
	case "system.posix_acl_access", "system.posix_acl_default", "security.capability":
		return true
	}
	return strings.HasPrefix(name, "user.") && len(name) > len("user.") &&
		len(name) <= MaxName && strings.IndexByte(name, 0) < 0
}

func checkXattrs(e *transfer.Entry) error {
	xs := e.Meta.Xattrs
	if len(xs) > MaxXattrs {
		return fmt.Errorf("%w %d: %d extended attributes", ErrEntry, e.Number, len(xs))
	}
	total := 0
	for i := range xs {
		if !XattrAllowed(xs[i].Name) {
			return fmt.Errorf("%w %d: extended attribute %q", ErrEntry, e.Number, xs[i].Name)
		}
		for j := range i {
			if xs[j].Name == xs[i].Name {
				return fmt.Errorf("%w %d: extended attribute %q twice", ErrEntry, e.Number, xs[i].Name)
			}
		}
		if total += len(xs[i].Name) + len(xs[i].Value); total > MaxXattrBytes {
			return fmt.Errorf("%w %d: %d bytes of extended attributes", ErrEntry, e.Number, total)
		}
	}
	return nil
}
