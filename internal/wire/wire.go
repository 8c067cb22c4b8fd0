// Package wire is the codec of the TCP data plane: the hello that opens a
// connection and the frames that follow. It turns bytes into values and back,
// checks every bound, and does no I/O. All numbers are little-endian.
//
// A connection starts with one [Hello] and one [Reply], both of fixed size.
// Then come frames: a [Prefix] of 16 bytes and a payload. The source sends Chunk
// frames, each followed by the bytes of the chunk's segments without any
// framing and by a Trailer frame, and at the end an End frame. The target sends
// Ack frames, Alive frames while an answer takes long, a Fail frame when it
// gives up, and the End frame in answer to that of the source.
//
// It is not the place for the control plane, nor for how frames are sent.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Limits of what a frame may hold. A decoder refuses what is beyond them before
// anything is allocated.
const (
	MaxExtents  = 512
	MaxSegments = 256
	MaxText     = 256 // bytes of one error text

	maxChunk     = chunkFixed + MaxExtents*(extentFixed+MaxSegments*segmentSize)
	maxTrailer   = trailerFixed + MaxExtents*trailerItem
	maxAck       = ackFixed + MaxExtents*(1+ackTextFixed+MaxText)
	maxFail      = failFixed + MaxText
	maxAncillary = 64 << 10
)

// ErrBroken is in the chain of every error of a decoder: the peer does not keep
// to the format.
var ErrBroken = errors.New("malformed data frame")

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBroken, fmt.Sprintf(format, args...))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// Type says what a frame is.
type Type uint16

// Critical is the bit of a type that must be understood: a frame with it and an
// unknown type ends the connection, one without it is skipped.
const Critical Type = 1 << 15

// Types of frames.
const (
	TypeChunk   = Critical | 1
	TypeTrailer = Critical | 2
	TypeAck     = Critical | 3
	TypeEnd     = Critical | 4
	TypeFail    = Critical | 5
	TypeAlive   = Type(6)
)

// limit returns the longest payload of a type.
func (t Type) limit() (n int, known bool) {
	switch t {
	case TypeChunk:
		return maxChunk, true
	case TypeTrailer:
		return maxTrailer, true
	case TypeAck:
		return maxAck, true
	case TypeEnd:
		return endSize, true
	case TypeFail:
		return maxFail, true
	case TypeAlive:
		return 0, true
	}
	return maxAncillary, t&Critical == 0
}

// PrefixSize is the size of a Prefix on the wire, in bytes.
const PrefixSize = 16

// Prefix stands before the payload of every frame.
type Prefix struct {
	Type   Type
	Length int // of the payload, in bytes
	crc    uint32
}

// DecodePrefix reads the first PrefixSize bytes of a frame. The length it
// returns is within the limit of the type. Unknown ancillary types are no error:
// the caller skips Length bytes.
func DecodePrefix(b []byte) (Prefix, error) {
	if len(b) < PrefixSize {
		return Prefix{}, broken("prefix of %d bytes", len(b))
	}
	if got := binary.LittleEndian.Uint32(b[12:]); got != sum(b[:12]) {
		return Prefix{}, broken("checksum of the prefix")
	}
	length := binary.LittleEndian.Uint32(b)
	p := Prefix{
		Type:   Type(binary.LittleEndian.Uint16(b[4:])),
		Length: int(length),
		crc:    binary.LittleEndian.Uint32(b[8:]),
	}
	if reserved := binary.LittleEndian.Uint16(b[6:]); reserved != 0 {
		return Prefix{}, broken("reserved bits %#x in the prefix", reserved)
	}
	limit, known := p.Type.limit()
	if !known {
		return Prefix{}, broken("unknown critical frame type %#x", uint16(p.Type))
	}
	if uint64(length) > uint64(limit) {
		return Prefix{}, broken("frame type %#x of %d bytes, limit %d", uint16(p.Type), length, limit)
	}
	return p, nil
}

// Check compares the payload with the prefix it came with. Every payload is
// checked before it is decoded.
func (p Prefix) Check(payload []byte) error {
	if len(payload) != p.Length || sum(payload) != p.crc {
		return broken("checksum of frame type %#x", uint16(p.Type))
	}
	return nil
}

// begin reserves the prefix of a frame; finish fills it in.
func begin(dst []byte) (_ []byte, at int) {
	return append(dst, make([]byte, PrefixSize)...), len(dst)
}

func finish(dst []byte, at int, t Type) []byte {
	p, payload := dst[at:at+PrefixSize], dst[at+PrefixSize:]
	binary.LittleEndian.PutUint32(p, uint32(len(payload)))
	binary.LittleEndian.PutUint16(p[4:], uint16(t))
	binary.LittleEndian.PutUint16(p[6:], 0)
	binary.LittleEndian.PutUint32(p[8:], sum(payload))
	binary.LittleEndian.PutUint32(p[12:], sum(p[:12]))
	return dst
}

// AppendRaw appends a frame of any type with the given payload. It is for types
// that this package does not know, in tests of how peers treat them.
func AppendRaw(dst []byte, t Type, payload []byte) []byte {
	dst, at := begin(dst)
	return finish(append(dst, payload...), at, t)
}

// AppendAlive appends an Alive frame: the target still works on its answer.
func AppendAlive(dst []byte) []byte {
	dst, at := begin(dst)
	return finish(dst, at, TypeAlive)
}
