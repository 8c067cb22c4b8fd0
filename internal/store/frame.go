package store

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// A log file is a header and frames. A frame is
//
//	length of the payload  u32
//	type                   u8
//	CRC32C of the payload  u32
//	CRC32C of the above    u32
//	payload
//
// all little-endian. Both sums begin with the log's random salt and the frame's
// offset: a frame is good only in the log and at the place where it was
// written, so bytes of another file, or a payload that looks like a frame, are
// never taken for one.

// FrameOverhead is what a frame takes in the log besides its payload, in bytes.
const FrameOverhead = 13

// MaxPayload is the largest payload of a frame in bytes.
const MaxPayload = 8 << 20

// frameMark is the type of the log's own frames: the payload is the offset up
// to which everything was synced when it was written.
const frameMark = 0

// Frame is one record of a log. Types are 1 to 255; what they mean is the
// caller's.
type Frame struct {
	Type    uint8
	Payload []byte
}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	errBadFrame = errors.New("not a frame")
	errType     = errors.New("store: frame type 0 is the log's own")
	errPayload  = errors.New("store: payload of a frame is too large")
)

// seed is where both sums of a frame begin: salt and offset, well mixed.
func seed(salt uint64, off int64) uint32 {
	x := salt + uint64(off)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return uint32(x ^ x>>32)
}

// appendFrame appends the frame that will stand at off.
func appendFrame(dst []byte, salt uint64, off int64, typ uint8, payload []byte) []byte {
	s := seed(salt, off)
	at := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	dst = append(dst, typ)
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Update(s, castagnoli, payload))
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Update(s, castagnoli, dst[at:at+9]))
	return append(dst, payload...)
}

// frameHeader is the decoded first part of a frame.
type frameHeader struct {
	length int
	typ    uint8
	sum    uint32
	seed   uint32
}

// parseFrameHeader checks the first FrameOverhead bytes of b as the head of a
// frame at off.
func parseFrameHeader(b []byte, salt uint64, off int64) (h frameHeader, err error) {
	if len(b) < FrameOverhead {
		return h, errBadFrame
	}
	h.seed = seed(salt, off)
	if crc32.Update(h.seed, castagnoli, b[:9]) != binary.LittleEndian.Uint32(b[9:]) {
		return h, errBadFrame
	}
	n := binary.LittleEndian.Uint32(b)
	if n > MaxPayload {
		return h, errBadFrame
	}
	h.length, h.typ, h.sum = int(n), b[4], binary.LittleEndian.Uint32(b[5:])
	return h, nil
}

func (h *frameHeader) check(payload []byte) error {
	if crc32.Update(h.seed, castagnoli, payload) != h.sum {
		return errBadFrame
	}
	return nil
}

// logHeader stands at the beginning of a log: magic, format, total length,
// salt, three strings with a length byte, and a CRC32C over all of it.
type logHeader struct {
	salt uint64
	node string // the node that wrote it
	uid  string
	name string // role/name
}

const (
	logMagic  = "xferdlog"
	logFormat = 1
	maxHeader = 8 + 2 + 2 + 8 + 3*256 + 4
)

var errHeader = errors.New("not the header of a log")

func (h *logHeader) append(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, logMagic...)
	dst = binary.LittleEndian.AppendUint16(dst, logFormat)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(h.size()))
	dst = binary.LittleEndian.AppendUint64(dst, h.salt)
	for _, s := range [...]string{h.node, h.uid, h.name} {
		dst = append(dst, byte(len(s)))
		dst = append(dst, s...)
	}
	return binary.LittleEndian.AppendUint32(dst, checksum(dst[at:]))
}

func (h *logHeader) size() int {
	return 8 + 2 + 2 + 8 + 3 + len(h.node) + len(h.uid) + len(h.name) + 4
}

// parseLogHeader returns the header at the beginning of b and the format of the
// log. Of another format it knows only that.
func parseLogHeader(b []byte) (h logHeader, format int, err error) {
	if len(b) < 20 || string(b[:8]) != logMagic {
		return h, 0, errHeader
	}
	format = int(binary.LittleEndian.Uint16(b[8:]))
	n := int(binary.LittleEndian.Uint16(b[10:]))
	if n < 27 || n > len(b) ||
		checksum(b[:n-4]) != binary.LittleEndian.Uint32(b[n-4:]) {
		return h, 0, errHeader
	}
	if format != logFormat {
		return h, format, nil
	}
	h.salt = binary.LittleEndian.Uint64(b[12:])
	rest := b[20 : n-4]
	for _, p := range [...]*string{&h.node, &h.uid, &h.name} {
		if len(rest) < 1 || len(rest) < 1+int(rest[0]) {
			return h, 0, errHeader
		}
		*p = string(rest[1 : 1+int(rest[0])])
		rest = rest[1+int(rest[0]):]
	}
	if len(rest) != 0 {
		return h, 0, errHeader
	}
	return h, format, nil
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
