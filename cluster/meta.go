package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// MaxMeta is the largest encoded [Meta] in bytes. Gossip packets of 1400 bytes
// then hold several of them; memberlist itself panics above 512.
const MaxMeta = 256

// Limits of the strings in a Meta, in bytes. Together with the fixed parts they
// stay below MaxMeta; a test adds them up.
const (
	MaxNodeID   = 63
	MaxInstance = 16
	MaxPlace    = 32 // zone and rack, each
	MaxVersion  = 24
)

// metaFormat is the first byte of an encoded Meta. New fields are appended
// under the same number, since a decoder ignores what follows the fields that
// it knows; another number means that old nodes must not read it.
const metaFormat = 1

// Capability is a bit set of what a node can do.
type Capability uint32

const (
	CapTCP       Capability = 1 << iota // TCP data plane
	CapRoCE                             // RDMA data plane on RoCE v2
	CapIB                               // RDMA data plane on InfiniBand
	CapDataTLS                          // TLS on the data port
	CapRegions                          // registered memory
	CapInsecure                         // serves without TLS (shown to people)
	CapGossipKey                        // gossip is encrypted
)

// Has reports whether all bits of q are set.
func (c Capability) Has(q Capability) bool { return c&q == q }

// phase is what a node says of its own readiness.
type phase uint8

const (
	phaseActive phase = iota
	phaseDraining
	phaseLeaving // memberlist tells no leave from a failure, so the node says it first
)

// Meta is what a node tells about itself. An address with an unspecified or
// missing IP stands for "the IP that gossip knows for the node".
type Meta struct {
	Control      netip.AddrPort // gRPC
	Data         netip.AddrPort // TCP data plane
	HTTPPort     uint16         // metrics; 0 where they are not reachable from outside
	Zone, Rack   string
	Capabilities Capability
	Draining     bool
	Version      string // of xferd; cut to MaxVersion bytes
}

// record is all that travels in the metadata of one memberlist node.
type record struct {
	Meta
	id       string
	instance string
	started  time.Time // of the instance, in milliseconds
	phase    phase
}

var (
	errMetaFormat = errors.New("metadata of an unknown format")
	errMetaShort  = errors.New("metadata is cut short")
)

// encode returns the wire form. The strings were checked before.
func (r *record) encode() []byte {
	b := make([]byte, 0, MaxMeta)
	b = append(b, metaFormat)
	b = appendString(b, r.id)
	b = appendString(b, r.instance)
	b = binary.AppendUvarint(b, uint64(max(0, r.started.UnixMilli()))) // a clock before 1970 is no reason to be refused
	b = append(b, byte(r.phase))
	b = appendAddr(b, r.Control)
	b = appendAddr(b, r.Data)
	b = binary.AppendUvarint(b, uint64(r.HTTPPort))
	b = binary.AppendUvarint(b, uint64(r.Capabilities))
	b = appendString(b, r.Zone)
	b = appendString(b, r.Rack)
	return appendString(b, r.Version)
}

// decodeRecord reads an encoded record. It copies: b is not kept. Bytes after
// the known fields are left to newer versions.
func decodeRecord(b []byte) (record, error) {
	var r record
	if len(b) == 0 {
		return r, errMetaShort
	}
	if len(b) > MaxMeta {
		return r, fmt.Errorf("metadata has %d bytes, the limit is %d", len(b), MaxMeta)
	}
	if b[0] != metaFormat {
		return r, errMetaFormat
	}
	d := decoder{b: b[1:]}
	r.id = d.string(MaxNodeID)
	r.instance = d.string(MaxInstance)
	ms := d.uvarint(1 << 48) // the year 10889: no overflow of time.Time
	r.started = time.UnixMilli(int64(ms))
	r.phase = phase(d.byte())
	r.Control = d.addr()
	r.Data = d.addr()
	r.HTTPPort = uint16(d.uvarint(1<<16 - 1))
	r.Capabilities = Capability(d.uvarint(1<<32 - 1))
	r.Zone = d.string(MaxPlace)
	r.Rack = d.string(MaxPlace)
	r.Version = d.string(MaxVersion)
	if d.err != nil {
		return record{}, d.err
	}
	if err := CheckNodeID(r.id); err != nil {
		return record{}, err
	}
	if err := checkInstance(r.instance); err != nil {
		return record{}, err
	}
	for _, s := range []string{r.Zone, r.Rack, r.Version} {
		if err := checkText(s); err != nil {
			return record{}, err
		}
	}
	if r.phase > phaseLeaving {
		return record{}, fmt.Errorf("metadata with an unknown phase %d", r.phase)
	}
	r.Draining = r.phase == phaseDraining
	return r, nil
}

func appendString(b []byte, s string) []byte {
	return append(append(b, byte(len(s))), s...)
}

// appendAddr writes the length of the IP (0, 4 or 16), the IP and the port.
func appendAddr(b []byte, a netip.AddrPort) []byte {
	ip := a.Addr().Unmap().WithZone("")
	var raw []byte
	if ip.IsValid() && !ip.IsUnspecified() {
		raw = ip.AsSlice()
	}
	b = append(append(b, byte(len(raw))), raw...)
	return binary.BigEndian.AppendUint16(b, a.Port())
}

// decoder takes fields off b; after the first error all of them are zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) take(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n > len(d.b) {
		d.err = errMetaShort
		return nil
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) byte() byte {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (d *decoder) string(limit int) string {
	n := int(d.byte())
	if n > limit && d.err == nil {
		d.err = fmt.Errorf("metadata with a string of %d bytes, the limit is %d", n, limit)
	}
	return string(d.take(n))
}

func (d *decoder) uvarint(limit uint64) uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.b)
	switch {
	case n <= 0:
		d.err = errMetaShort
	case v > limit:
		d.err = fmt.Errorf("metadata with the number %d, the limit is %d", v, limit)
	default:
		d.b = d.b[n:]
		return v
	}
	return 0
}

func (d *decoder) addr() netip.AddrPort {
	n := int(d.byte())
	if n != 0 && n != 4 && n != 16 && d.err == nil {
		d.err = fmt.Errorf("metadata with an address of %d bytes", n)
	}
	raw := d.take(n)
	port := d.take(2)
	if d.err != nil {
		return netip.AddrPort{}
	}
	ip, _ := netip.AddrFromSlice(raw) // no bytes: the zero Addr, which is meant
	return netip.AddrPortFrom(ip.Unmap(), binary.BigEndian.Uint16(port))
}

// CheckNodeID reports whether id can name a node: 1 to 63 of the characters
// A-Z a-z 0-9 . _ -, the first of them a letter or digit.
func CheckNodeID(id string) error {
	if id == "" || len(id) > MaxNodeID {
		return fmt.Errorf("node id %q: must have 1 to %d bytes", id, MaxNodeID)
	}
	for i := range len(id) {
		c := id[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || c != '.' && c != '_' && c != '-') {
			return fmt.Errorf("node id %q: only letters, digits and . _ - are allowed, first a letter or digit", id)
		}
	}
	return nil
}

func checkInstance(s string) error {
	if s == "" || len(s) > MaxInstance {
		return fmt.Errorf("instance %q: must have 1 to %d bytes", s, MaxInstance)
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return fmt.Errorf("instance %q: only lower-case letters and digits are allowed", s)
		}
	}
	return nil
}

// checkText refuses control bytes: zone, rack and version are printed.
func checkText(s string) error {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return fmt.Errorf("%q: only printable ASCII is allowed", s)
		}
	}
	return nil
}
