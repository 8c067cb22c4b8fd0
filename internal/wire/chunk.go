package wire

import (
	"encoding/binary"
	"math"
	"slices"
)

const (
	chunkFixed   = 16
	extentFixed  = 28
	segmentSize  = 16
	trailerFixed = 16
	trailerItem  = 17
)

// ChunkFlags are bits that hold for a whole chunk.
type ChunkFlags uint16

// Digests says that the trailer carries the digests of the extents.
const Digests ChunkFlags = 1

// ExtentFlags are bits of one extent.
type ExtentFlags uint16

const (
	// Final: the extent is all of its entry; see transport.ExtentHeader.
	Final ExtentFlags = 1
	// whole: one segment that is the extent itself; the list is left out.
	whole ExtentFlags = 2
)

// Range is [Offset, Offset+Length) within an entry.
type Range struct{ Offset, Length int64 }

// Extent is one extent of a Chunk.
type Extent struct {
	Entry          uint64
	Offset, Length int64
	Flags          ExtentFlags
	Segments       []Range
}

// Chunk is the content of a Chunk frame. The bytes of all segments follow the
// frame in order.
type Chunk struct {
	Seq     uint64
	Flags   ChunkFlags
	Extents []Extent

	segments []Range // what the extents' Segments are cut from
}

// Reset empties c and keeps its memory.
func (c *Chunk) Reset(seq uint64, flags ChunkFlags) {
	c.Seq, c.Flags, c.Extents, c.segments = seq, flags, c.Extents[:0], c.segments[:0]
}

// DataLength returns the number of bytes that follow the frame.
func (c *Chunk) DataLength() int64 {
	var n int64
	for i := range c.Extents {
		for _, s := range c.Extents[i].Segments {
			n += s.Length
		}
	}
	return n
}

// AppendChunk appends the frame. It fails on what DecodeChunk would refuse.
func AppendChunk(dst []byte, c *Chunk) ([]byte, error) {
	if len(c.Extents) == 0 || len(c.Extents) > MaxExtents {
		return dst, broken("chunk of %d extents", len(c.Extents))
	}
	dst, at := begin(dst)
	dst = binary.LittleEndian.AppendUint64(dst, c.Seq)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(c.Flags))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(c.Extents)))
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	var total int64
	for i := range c.Extents {
		e := &c.Extents[i]
		if err := e.check(&total); err != nil {
			return dst[:at], err
		}
		flags, segments := e.Flags, e.Segments
		if len(segments) == 1 && segments[0] == (Range{e.Offset, e.Length}) {
			flags, segments = flags|whole, nil
		}
		dst = binary.LittleEndian.AppendUint64(dst, e.Entry)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(e.Offset))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(e.Length))
		dst = binary.LittleEndian.AppendUint16(dst, uint16(flags))
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(segments)))
		for _, s := range segments {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(s.Offset))
			dst = binary.LittleEndian.AppendUint64(dst, uint64(s.Length))
		}
	}
	return finish(dst, at, TypeChunk), nil
}

// DecodeChunk reads the payload of a Chunk frame into c, whose memory it uses
// again. Nothing in c points into payload. When it succeeds every extent and
// segment is sound: no negative number, no overflow, segments ascending,
// disjoint, not empty and inside their extent, the sum of all bytes an int64.
func DecodeChunk(payload []byte, c *Chunk) error {
	c.Reset(0, 0)
	if len(payload) < chunkFixed || len(payload) > maxChunk {
		return broken("chunk header of %d bytes", len(payload))
	}
	c.Seq = binary.LittleEndian.Uint64(payload)
	c.Flags = ChunkFlags(binary.LittleEndian.Uint16(payload[8:]))
	n := int(binary.LittleEndian.Uint16(payload[10:]))
	if c.Flags&^Digests != 0 || binary.LittleEndian.Uint32(payload[12:]) != 0 {
		return broken("reserved bits in the chunk header")
	}
	rest := payload[chunkFixed:]
	if n == 0 || n > MaxExtents || len(rest) < n*extentFixed {
		return broken("chunk of %d extents in %d bytes", n, len(payload))
	}
	// As many segments as the payload can hold: the slices cut from it below
	// must not move.
	c.segments = slices.Grow(c.segments, n+(len(rest)-n*extentFixed)/segmentSize)
	var total int64
	for range n {
		var e Extent
		var err error
		if rest, err = c.extent(rest, &e); err != nil {
			return err
		}
		if err := e.check(&total); err != nil {
			return err
		}
		c.Extents = append(c.Extents, e)
	}
	if len(rest) != 0 {
		return broken("%d bytes after the last extent", len(rest))
	}
	return nil
}

func (c *Chunk) extent(b []byte, e *Extent) (rest []byte, err error) {
	if len(b) < extentFixed {
		return nil, broken("chunk header ends within an extent")
	}
	e.Entry = binary.LittleEndian.Uint64(b)
	e.Offset = int64(binary.LittleEndian.Uint64(b[8:]))
	e.Length = int64(binary.LittleEndian.Uint64(b[16:]))
	e.Flags = ExtentFlags(binary.LittleEndian.Uint16(b[24:]))
	n := int(binary.LittleEndian.Uint16(b[26:]))
	b = b[extentFixed:]
	if n > MaxSegments || len(b) < n*segmentSize {
		return nil, broken("extent of %d segments", n)
	}
	from := len(c.segments)
	if e.Flags&whole != 0 {
		if n != 0 {
			return nil, broken("whole extent with a list of segments")
		}
		e.Flags &^= whole
		c.segments = append(c.segments, Range{e.Offset, e.Length})
	}
	for range n {
		c.segments = append(c.segments, Range{
			Offset: int64(binary.LittleEndian.Uint64(b)),
			Length: int64(binary.LittleEndian.Uint64(b[8:])),
		})
		b = b[segmentSize:]
	}
	e.Segments = c.segments[from:len(c.segments):len(c.segments)]
	return b, nil
}

// check verifies an extent and adds its length to total.
func (e *Extent) check(total *int64) error {
	if e.Offset < 0 || e.Length < 0 || e.Offset > math.MaxInt64-e.Length || *total > math.MaxInt64-e.Length {
		return broken("extent at %d of %d bytes", e.Offset, e.Length)
	}
	*total += e.Length
	if e.Flags&^Final != 0 {
		return broken("unknown extent flags %#x", uint16(e.Flags))
	}
	if len(e.Segments) > MaxSegments {
		return broken("extent of %d segments", len(e.Segments))
	}
	at, end := e.Offset, e.Offset+e.Length
	for _, s := range e.Segments {
		if s.Offset < at || s.Length <= 0 || s.Offset > end || s.Length > end-s.Offset {
			return broken("segment at %d of %d bytes", s.Offset, s.Length)
		}
		at = s.Offset + s.Length
	}
	return nil
}

// State is what the source says of an extent after its bytes.
type State uint8

// States of an extent. The bytes of one that is not Sound were made up.
const (
	Sound       State = 0
	SourceShort State = 1
	SourceBad   State = 2
)

// Seal is the source's last word on one extent.
type Seal struct {
	State  State
	Digest [16]byte
}

// AppendTrailer appends the frame that follows the bytes of a chunk.
func AppendTrailer(dst []byte, seq uint64, seals []Seal) []byte {
	dst, at := begin(dst)
	dst = binary.LittleEndian.AppendUint64(dst, seq)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(seals)))
	for i := range seals {
		dst = append(dst, byte(seals[i].State))
		dst = append(dst, seals[i].Digest[:]...)
	}
	return finish(dst, at, TypeTrailer)
}

// TrailerLength returns the size of the payload of a trailer for n extents.
func TrailerLength(n int) int { return trailerFixed + n*trailerItem }

// DecodeTrailer reads the trailer of the chunk seq into seals, one for each of
// its extents.
func DecodeTrailer(payload []byte, seq uint64, seals []Seal) error {
	if len(payload) != TrailerLength(len(seals)) {
		return broken("trailer of %d bytes for %d extents", len(payload), len(seals))
	}
	if got := binary.LittleEndian.Uint64(payload); got != seq {
		return broken("trailer of chunk %d after chunk %d", got, seq)
	}
	if n := binary.LittleEndian.Uint64(payload[8:]); n != uint64(len(seals)) {
		return broken("trailer of %d extents for %d", n, len(seals))
	}
	payload = payload[trailerFixed:]
	for i := range seals {
		seals[i].State = State(payload[0])
		if seals[i].State > SourceBad {
			return broken("state %d of an extent", payload[0])
		}
		copy(seals[i].Digest[:], payload[1:])
		payload = payload[trailerItem:]
	}
	return nil
}
