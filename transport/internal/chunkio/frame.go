// Package chunkio turns chunks into the frames of internal/wire and back, and
// hashes extents, for transports that move chunks as bytes.
//
// It moves nothing itself.
package chunkio

import (
	"errors"
	"fmt"
	"slices"

	"github.com/xferd/xferd/internal/wire"
	"github.com/xferd/xferd/transport"
)

// Framer builds frames of chunks. It keeps memory between calls.
type Framer struct {
	frame  wire.Chunk
	ranges []wire.Range
}

// Append checks a chunk and appends its frame. It returns the number of bytes
// of all its segments too; most is the limit for them, 0 is none.
func (f *Framer) Append(dst []byte, c *transport.Chunk, digests bool, most int64) (_ []byte, total int64, err error) {
	var flags wire.ChunkFlags
	if digests {
		flags = wire.Digests
	}
	segments := 0
	for i := range c.Extents {
		segments += len(c.Extents[i].Segments)
	}
	f.ranges = slices.Grow(f.ranges[:0], segments)
	f.frame.Reset(c.Seq, flags)
	for i := range c.Extents {
		e := &c.Extents[i]
		if len(e.Bodies) != len(e.Segments) {
			return dst, 0, fmt.Errorf("extent with %d segments and %d bodies", len(e.Segments), len(e.Bodies))
		}
		from := len(f.ranges)
		for j, seg := range e.Segments {
			b := &e.Bodies[j]
			if !BodyFits(b, seg) {
				return dst, 0, errors.New("body does not fit its segment")
			}
			f.ranges = append(f.ranges, wire.Range(seg))
			total += seg.Length
		}
		w := wire.Extent{Entry: e.Entry, Offset: e.Offset, Length: e.Length, Segments: f.ranges[from:]}
		if e.Final {
			w.Flags = wire.Final
		}
		f.frame.Extents = append(f.frame.Extents, w)
	}
	if most > 0 && total > most {
		return dst, 0, fmt.Errorf("chunk of %d bytes, chunk_size is %d", total, most)
	}
	dst, err = wire.AppendChunk(dst, &f.frame)
	return dst, total, err
}

// BodyFits reports whether a body can be that of a segment.
func BodyFits(b *transport.Body, seg transport.Range) bool {
	if b.File == nil || b.Mem != nil {
		return int64(len(b.Mem)) == seg.Length && b.FileOffset >= 0
	}
	return b.FileOffset >= 0
}

// Headers reads frames of chunks. It keeps memory between calls: what it returns
// holds until the next one.
type Headers struct {
	frame   wire.Chunk
	headers []transport.ExtentHeader
	ranges  []transport.Range
}

// Decode reads the payload of a Chunk frame and checks it against what was
// agreed for the edge. It returns the number of the chunk, its extents, and the
// sum of the bytes of their segments.
func (h *Headers) Decode(payload []byte, o *transport.PrepareOptions) (seq uint64, extents []transport.ExtentHeader, total int64, err error) {
	f := &h.frame
	if err := wire.DecodeChunk(payload, f); err != nil {
		return 0, nil, 0, err
	}
	if o.Verify && f.Flags&wire.Digests == 0 {
		return 0, nil, 0, fmt.Errorf("%w: chunk without digests on an edge that verifies", wire.ErrBroken)
	}
	if total = f.DataLength(); total > o.ChunkSize {
		return 0, nil, 0, fmt.Errorf("%w: chunk of %d bytes, chunk_size is %d", wire.ErrBroken, total, o.ChunkSize)
	}
	segments := 0
	for i := range f.Extents {
		segments += len(f.Extents[i].Segments)
	}
	h.headers = slices.Grow(h.headers[:0], len(f.Extents))
	h.ranges = slices.Grow(h.ranges[:0], segments)
	for i := range f.Extents {
		e := &f.Extents[i]
		if e.Length > o.ChunkSize {
			return 0, nil, 0, fmt.Errorf("%w: extent of %d bytes, chunk_size is %d", wire.ErrBroken, e.Length, o.ChunkSize)
		}
		from := len(h.ranges)
		for _, s := range e.Segments {
			h.ranges = append(h.ranges, transport.Range(s))
		}
		h.headers = append(h.headers, transport.ExtentHeader{
			Entry: e.Entry, Offset: e.Offset, Length: e.Length,
			Segments: h.ranges[from:len(h.ranges):len(h.ranges)],
			Final:    e.Flags&wire.Final != 0,
		})
	}
	return f.Seq, h.headers, total, nil
}
