package receiver

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"syscall"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
)

// The attributes that carry POSIX ACLs.
const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

const setidBits = 0o6000

// policy says which metadata of an entry is wanted at this node. It is
// immutable.
type policy struct {
	keep     transfer.Preserve
	chownUID *uint32
	chownGID *uint32
	chmod    transfer.ChmodRules
	uid, gid uint32 // the daemon's effective ones
}

// attrs is the metadata that one file of the destination is to have.
type attrs struct {
	meta   fsroot.Meta
	xattrs []transfer.Xattr
	// manage says for which attributes of the file xattrs is the whole list;
	// nil where attributes are left alone.
	manage func(name string) bool
	lost   transfer.Preserve // known already not to be kept
}

// want returns the metadata for an entry. have is what stands there now, nil
// for nothing.
func (p *policy) want(e *transfer.Entry, have *fsroot.Info) attrs {
	var a attrs
	dir := e.Kind == transfer.KindDir
	if e.Kind != transfer.KindSymlink {
		a.meta.Set |= fsroot.SetPerm
		a.meta.Perm = p.perm(e, have, dir, &a.lost)
	}
	if p.keep.Has(transfer.PreserveOwner) {
		a.meta.Set |= fsroot.SetOwner | fsroot.SetGroup
		a.meta.UID, a.meta.GID = e.Meta.UID, e.Meta.GID
	}
	if p.chownUID != nil {
		a.meta.Set |= fsroot.SetOwner
		a.meta.UID = *p.chownUID
	}
	if p.chownGID != nil {
		a.meta.Set |= fsroot.SetGroup
		a.meta.GID = *p.chownGID
	}
	if p.keep.Has(transfer.PreserveTimes) {
		a.meta.Set |= fsroot.SetMtime
		a.meta.Mtime = e.Meta.Mtime
	}
	if e.Kind == transfer.KindFile || dir {
		p.wantXattrs(e, &a)
	}
	return a
}

// perm returns the mode. Without PreserveMode a new file gets the source's
// permissions less the usual umask and an old one keeps its own, as rsync does.
//
// The setuid and setgid bits of a file mean "runs as its owner (group)". rsync
// as root keeps them with the mode even when the owner is not kept, which turns
// a user's setuid program into one of root. Here they are kept where they mean
// the same as at the source: the file gets the same owner (group) as there.
// Otherwise they are dropped and counted as not kept. --chmod may set them.
func (p *policy) perm(e *transfer.Entry, have *fsroot.Info, dir bool, lost *transfer.Preserve) uint32 {
	mode := e.Meta.Perm & 0o7777
	switch {
	case p.keep.Has(transfer.PreserveMode):
		if !dir {
			drop := uint32(0)
			if p.finalUID(e) != e.Meta.UID {
				drop |= 0o4000
			}
			if p.finalGID(e) != e.Meta.GID {
				drop |= 0o2000
			}
			if mode&drop != 0 {
				mode &^= drop
				*lost |= transfer.PreserveMode
			}
		}
	case have != nil && (have.Kind == fsroot.Directory) == dir:
		mode = have.Perm
	default:
		mode = mode & 0o777 &^ 0o022
	}
	return p.chmod.Apply(mode, dir)
}

func (p *policy) finalUID(e *transfer.Entry) uint32 {
	switch {
	case p.chownUID != nil:
		return *p.chownUID
	case p.keep.Has(transfer.PreserveOwner):
		return e.Meta.UID
	}
	return p.uid
}

func (p *policy) finalGID(e *transfer.Entry) uint32 {
	switch {
	case p.chownGID != nil:
		return *p.chownGID
	case p.keep.Has(transfer.PreserveOwner):
		return e.Meta.GID
	}
	return p.gid
}

// wantXattrs takes over the attributes that were asked for and may be set:
// user.*, the two ACLs, and the capabilities of a program where it gets the owner
// and group that it has at the source, as with setuid bits. Anything else a peer
// sends is dropped and counted.
func (p *policy) wantXattrs(e *transfer.Entry, a *attrs) {
	users, acls := p.keep.Has(transfer.PreserveXattrs), p.keep.Has(transfer.PreserveACLs)
	if !users && !acls {
		return
	}
	a.manage = func(name string) bool {
		return users && (isUserXattr(name) || name == fsroot.Capability) || acls && isACL(name)
	}
	for _, x := range e.Meta.Xattrs {
		switch {
		case isUserXattr(x.Name), isACL(x.Name), x.Name == fsroot.Capability && p.finalUID(e) == e.Meta.UID && p.finalGID(e) == e.Meta.GID:
			if a.manage(x.Name) {
				a.xattrs = append(a.xattrs, x)
			}
		case users:
			a.lost |= transfer.PreserveXattrs
		}
	}
}

func isUserXattr(name string) bool { return strings.HasPrefix(name, "user.") }
func isACL(name string) bool       { return name == aclAccess || name == aclDefault }

func xattrClass(name string) transfer.Preserve {
	if isACL(name) {
		return transfer.PreserveACLs
	}
	return transfer.PreserveXattrs
}

// target is what attributes can be set on: an open file or directory.
type target interface {
	SetMeta(fsroot.Meta) error
	Xattrs(filter func(name string) bool) ([]fsroot.Xattr, error)
	SetXattr(name string, value []byte) error
	RemoveXattr(name string) error
}

// apply sets the attributes. What the file system or our rights do not allow
// comes back as lost; an error is a failure of the file. fresh says that the
// file was just made and has no attributes but an inherited ACL.
func (a *attrs) apply(t target, fresh bool) (lost transfer.Preserve, err error) {
	lost = a.lost
	first := a.meta
	if a.manage != nil {
		// The time goes last, after the attributes.
		first.Set &^= fsroot.SetMtime
	}
	l, err := setMeta(t.SetMeta, first)
	lost |= l
	if err != nil || a.manage == nil {
		return lost, err
	}
	xattrs := a.xattrs
	if lost.Has(transfer.PreserveOwner) {
		if xattrs = withoutCapability(xattrs); len(xattrs) < len(a.xattrs) {
			lost |= transfer.PreserveXattrs
		}
	}
	l, err = a.applyXattrs(t, xattrs, fresh)
	lost |= l
	if err != nil {
		return lost, err
	}
	if a.meta.Set&fsroot.SetMtime != 0 {
		l, err = setMeta(t.SetMeta, fsroot.Meta{Set: fsroot.SetMtime, Mtime: a.meta.Mtime})
		lost |= l
	}
	return lost, err
}

// setMeta sets owner, mode and time, and does without what is not permitted.
// Where the owner could not be set, the setuid and setgid bits are not either.
func setMeta(set func(fsroot.Meta) error, m fsroot.Meta) (lost transfer.Preserve, err error) {
	if m.Set == 0 {
		return 0, nil
	}
	if err = set(m); err == nil || !notPermitted(err) {
		return 0, err
	}
	for _, bit := range [...]fsroot.MetaSet{fsroot.SetOwner, fsroot.SetGroup, fsroot.SetPerm, fsroot.SetMtime} {
		if m.Set&bit == 0 {
			continue
		}
		one := m
		one.Set = bit
		if bit == fsroot.SetPerm && lost != 0 && one.Perm&setidBits != 0 {
			one.Perm &^= setidBits
			lost |= transfer.PreserveMode
		}
		err := set(one)
		switch {
		case err == nil:
		case !notPermitted(err):
			return lost, err
		case bit == fsroot.SetPerm:
			lost |= transfer.PreserveMode
		case bit == fsroot.SetMtime:
			lost |= transfer.PreserveTimes
		default:
			lost |= transfer.PreserveOwner
		}
	}
	return lost, nil
}

// withoutCapability is for a file that did not get its owner.
func withoutCapability(list []transfer.Xattr) []transfer.Xattr {
	return slices.DeleteFunc(slices.Clone(list), func(x transfer.Xattr) bool { return x.Name == fsroot.Capability })
}

func (a *attrs) applyXattrs(t target, want []transfer.Xattr, fresh bool) (lost transfer.Preserve, err error) {
	var have []fsroot.Xattr
	if !fresh || a.manage(aclAccess) {
		if have, err = t.Xattrs(a.manage); err != nil && !notPermitted(err) {
			return 0, err
		}
	}
	for _, h := range have {
		if !slices.ContainsFunc(want, func(x transfer.Xattr) bool { return x.Name == h.Name }) {
			if err := t.RemoveXattr(h.Name); err != nil && !errors.Is(err, syscall.ENODATA) {
				lost |= xattrClass(h.Name)
			}
		}
	}
	for _, x := range want {
		if slices.ContainsFunc(have, func(h fsroot.Xattr) bool { return h.Name == x.Name && bytes.Equal(h.Value, x.Value) }) {
			continue
		}
		err := t.SetXattr(x.Name, x.Value)
		switch {
		case err == nil:
		case errors.Is(err, syscall.EIO), errors.Is(err, syscall.EROFS):
			return lost, err
		default: // no support, no right, no room for attributes: all the same to the reader
			lost |= xattrClass(x.Name)
		}
	}
	return lost, nil
}

// changed says which attributes differ from what a file has. Attributes that
// need an open file are compared by xattrsChanged.
func (a *attrs) changed(have *fsroot.Info) (c transfer.Change) {
	m := &a.meta
	if m.Set&fsroot.SetPerm != 0 && m.Perm != have.Perm {
		c |= transfer.ChangePerm
	}
	if m.Set&fsroot.SetOwner != 0 && m.UID != have.UID {
		c |= transfer.ChangeOwner
	}
	if m.Set&fsroot.SetGroup != 0 && m.GID != have.GID {
		c |= transfer.ChangeGroup
	}
	if m.Set&fsroot.SetMtime != 0 && m.Mtime != have.Mtime {
		c |= transfer.ChangeMtime
	}
	return c
}

func (a *attrs) xattrsChanged(t target) (c transfer.Change, err error) {
	if a.manage == nil {
		return 0, nil
	}
	have, err := t.Xattrs(a.manage)
	if err != nil {
		if notPermitted(err) {
			return 0, nil
		}
		return 0, err
	}
	note := func(name string) {
		if isACL(name) {
			c |= transfer.ChangeACL
		} else {
			c |= transfer.ChangeXattrs
		}
	}
	for _, h := range have {
		if !slices.ContainsFunc(a.xattrs, func(x transfer.Xattr) bool { return x.Name == h.Name && bytes.Equal(x.Value, h.Value) }) {
			note(h.Name)
		}
	}
	for _, x := range a.xattrs {
		if !slices.ContainsFunc(have, func(h fsroot.Xattr) bool { return h.Name == x.Name }) {
			note(x.Name)
		}
	}
	return c, nil
}

// notPermitted says that metadata cannot be kept here, by right or by kind of
// file system, as opposed to a file system that fails.
func notPermitted(err error) bool {
	return errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EINVAL) ||
		errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS)
}
