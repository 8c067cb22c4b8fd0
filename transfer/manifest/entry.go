package manifest

import (
	"encoding/binary"
	"fmt"

	"github.com/xferd/xferd/transfer"
)

// An entry is: number, parent + 1 (0 is NoParent), kind, flags, name, a byte
// that says which of the following are there, and those. A part that is all
// zero is left out, and only such a one.
const (
	hasMeta   = 1 << iota // perm, uid, gid, mtime
	hasRdev               // devices
	hasXattrs             // count, then name and value of each
	hasSize
	hasPrint // dev, ino, size, mtime, ctime
	hasLink
	hasLinkTo // hardlinks, also when it is 0
	hasAll    = 1<<iota - 1
)

// AppendEntry appends the encoding of an entry. It does not check it: see
// CheckEntry. What is beyond the limits cannot be decoded.
func AppendEntry(dst []byte, e *transfer.Entry) []byte {
	dst = binary.AppendUvarint(dst, e.Number)
	dst = binary.AppendUvarint(dst, e.Parent+1)
	dst = append(dst, byte(e.Kind), byte(e.Flags))
	dst = appendString(dst, e.Name)
	m, p := &e.Meta, &e.Print
	var has byte
	if m.Perm != 0 || m.UID != 0 || m.GID != 0 || m.Mtime != 0 {
		has |= hasMeta
	}
	if m.Rdev != 0 {
		has |= hasRdev
	}
	if len(m.Xattrs) != 0 {
		has |= hasXattrs
	}
	if e.Size != 0 {
		has |= hasSize
	}
	if *p != (transfer.Fingerprint{}) {
		has |= hasPrint
	}
	if e.Link != "" {
		has |= hasLink
	}
	if e.Kind == transfer.KindHardlink {
		has |= hasLinkTo
	}
	dst = append(dst, has)
	if has&hasMeta != 0 {
		dst = binary.AppendUvarint(dst, uint64(m.Perm))
		dst = binary.AppendUvarint(dst, uint64(m.UID))
		dst = binary.AppendUvarint(dst, uint64(m.GID))
		dst = binary.AppendVarint(dst, m.Mtime)
	}
	if has&hasRdev != 0 {
		dst = binary.AppendUvarint(dst, m.Rdev)
	}
	if has&hasXattrs != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(m.Xattrs)))
		for i := range m.Xattrs {
			dst = appendString(dst, m.Xattrs[i].Name)
			dst = binary.AppendUvarint(dst, uint64(len(m.Xattrs[i].Value)))
			dst = append(dst, m.Xattrs[i].Value...)
		}
	}
	if has&hasSize != 0 {
		dst = binary.AppendUvarint(dst, uint64(e.Size))
	}
	if has&hasPrint != 0 {
		dst = binary.AppendUvarint(dst, p.Dev)
		dst = binary.AppendUvarint(dst, p.Ino)
		dst = binary.AppendUvarint(dst, uint64(p.Size))
		dst = binary.AppendVarint(dst, p.Mtime)
		dst = binary.AppendVarint(dst, p.Ctime)
	}
	if has&hasLink != 0 {
		dst = appendString(dst, e.Link)
	}
	if has&hasLinkTo != 0 {
		dst = binary.AppendUvarint(dst, e.LinkTo)
	}
	return dst
}

// DecodeEntry decodes and checks the entry at the beginning of b, and returns
// what comes after it. The entry shares nothing with b.
func DecodeEntry(b []byte) (e transfer.Entry, rest []byte, err error) {
	d := decoder{b: b}
	decodeEntry(&d, &e)
	if d.err != nil {
		return transfer.Entry{}, nil, fmt.Errorf("entry: %w", d.err)
	}
	if err := CheckEntry(&e); err != nil {
		return transfer.Entry{}, nil, err
	}
	return e, d.b, nil
}

func decodeEntry(d *decoder, e *transfer.Entry) {
	e.Number = d.uvarint()
	e.Parent = d.uvarint() - 1
	e.Kind = transfer.Kind(d.byte())
	e.Flags = transfer.EntryFlags(d.byte())
	e.Name = d.string(MaxName)
	has := d.byte()
	if has&^hasAll != 0 || (has&hasLinkTo != 0) != (e.Kind == transfer.KindHardlink) {
		d.fail("parts")
		return
	}
	m, p := &e.Meta, &e.Print
	if has&hasMeta != 0 {
		m.Perm, m.UID, m.GID, m.Mtime = d.uint32(), d.uint32(), d.uint32(), d.varint()
		if m.Perm == 0 && m.UID == 0 && m.GID == 0 && m.Mtime == 0 {
			d.fail("empty part")
		}
	}
	if has&hasRdev != 0 {
		if m.Rdev = d.uvarint(); m.Rdev == 0 {
			d.fail("empty part")
		}
	}
	if has&hasXattrs != 0 {
		decodeXattrs(d, m)
	}
	if has&hasSize != 0 {
		if e.Size = d.size(); e.Size == 0 {
			d.fail("empty part")
		}
	}
	if has&hasPrint != 0 {
		p.Dev, p.Ino, p.Size, p.Mtime, p.Ctime = d.uvarint(), d.uvarint(), d.size(), d.varint(), d.varint()
		if *p == (transfer.Fingerprint{}) {
			d.fail("empty part")
		}
	}
	if has&hasLink != 0 {
		if e.Link = d.string(MaxLink); e.Link == "" {
			d.fail("empty part")
		}
	}
	if has&hasLinkTo != 0 {
		e.LinkTo = d.uvarint()
	}
}

func decodeXattrs(d *decoder, m *transfer.Meta) {
	n := d.uvarint()
	// An attribute takes two bytes at least: no count makes us allocate more
	// than what came.
	if n == 0 || n > MaxXattrs || n > uint64(len(d.b)/2) {
		d.fail("number of extended attributes")
		return
	}
	m.Xattrs = make([]transfer.Xattr, n)
	for i := range m.Xattrs {
		m.Xattrs[i].Name = d.string(MaxName)
		if v := d.bytes(MaxXattrBytes); len(v) > 0 {
			m.Xattrs[i].Value = append([]byte(nil), v...)
		}
	}
}
