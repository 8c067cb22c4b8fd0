package e2e

import (
	"encoding/binary"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/test/needs"
)

const (
	accessACL  = "system.posix_acl_access"
	defaultACL = "system.posix_acl_default"
)

// xattrs sets extended attributes and ACLs. A file system without them is a
// missing rig.
func (tr *tree) xattrs() {
	set := func(path, name string, value []byte) {
		tr.t.Helper()
		err := unix.Lsetxattr(path, name, value, 0)
		if errors.Is(err, unix.ENOTSUP) {
			needs.Missing(tr.t, "no file system with extended attributes and ACLs in %s", scratch)
		}
		if err != nil {
			tr.t.Fatalf("set %s of %s: %v", name, path, err)
		}
	}
	f := tr.file("attrs/file", 1000)
	set(f, "user.plain", []byte("value"))
	set(f, "user.empty", nil)
	set(f, "user.bytes", []byte{0, 1, 0xff, '\n'})
	set(f, "user."+strings.Repeat("n", 240), []byte("long name"))
	set(f, "user.large", random(2000, 77)) // ext4 has 4 KiB for all of them
	big := tr.file("attrs/big", 5<<20)
	set(big, "user.of-a-big-file", []byte("x"))
	d := tr.dir("attrs/dir")
	set(d, "user.of-a-directory", []byte("y"))

	entries := []aclEntry{{aclUserObj, 7, noID}, {aclUser, 5, 1234}, {aclGroupObj, 5, noID}, {aclGroup, 7, 4321}, {aclMask, 5, noID}, {aclOther, 0, noID}}
	set(tr.file("attrs/acl-file", 100), accessACL, acl(entries...))
	dir := tr.dir("attrs/acl-dir")
	set(dir, accessACL, acl(entries...))
	// What is made in here gets this ACL, unless the copy mends that.
	set(tr.dir("attrs/default"), defaultACL, acl(entries...))
	tr.file("attrs/default/inherits", 10)
	tr.dir("attrs/default/sub")
	plain := tr.file("attrs/default/does-not", 10)
	tr.must(unix.Lremovexattr(plain, accessACL))
	tr.must(os.Chmod(plain, 0o604))
	bare := tr.dir("attrs/default/bare")
	tr.must(unix.Lremovexattr(bare, accessACL))
	tr.must(unix.Lremovexattr(bare, defaultACL))
	tr.must(os.Chmod(bare, 0o705))
}

// Tags of ACL entries, as in the kernel's xattr form.
const (
	aclUserObj  = 1
	aclUser     = 2
	aclGroupObj = 4
	aclGroup    = 8
	aclMask     = 16
	aclOther    = 32
	noID        = 0xffffffff
)

type aclEntry struct {
	tag, perm uint16
	id        uint32
}

// acl is an ACL in the form that the kernel takes.
func acl(entries ...aclEntry) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}
