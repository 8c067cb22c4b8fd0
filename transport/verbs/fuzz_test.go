package verbs

import (
	"bytes"
	"testing"

	"github.com/xferd/xferd/internal/wire"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/internal/chunkio"
)

// FuzzCell: whatever a source writes into its cell, the target reads a chunk that
// fits its slot, or refuses it.
func FuzzCell(f *testing.F) {
	var framer chunkio.Framer
	cell := make([]byte, cellSize)
	c := &transport.Chunk{Seq: 3, Extents: []transport.Extent{{
		ExtentHeader: transport.ExtentHeader{Entry: 1, Offset: 4096, Length: 10, Segments: []transport.Range{{Offset: 4098, Length: 5}}},
		Bodies:       []transport.Body{{Mem: []byte("hello")}},
	}}}
	head, total, err := framer.Append(cell[cellFixed:cellFixed], c, true, chunkSize)
	if err != nil {
		f.Fatal(err)
	}
	whole := wire.AppendTrailer(head, c.Seq, make([]wire.Seal, 1))
	sealCell(cell, 7, 5, len(head), len(whole)-len(head), total)
	f.Add(bytes.Clone(cell[:cellFixed+len(whole)]))
	f.Fuzz(func(t *testing.T, b []byte) {
		cell := make([]byte, cellSize)
		copy(cell, b)
		checksum(cell) // or nothing gets beyond it
		head, tail, data, err := openCell(copyCell(nil, cell), 7, 5)
		if err != nil {
			return
		}
		var h chunkio.Headers
		opt := transport.PrepareOptions{ChunkSize: chunkSize, Verify: true}
		seq, extents, total, err := h.Decode(head, &opt)
		if err != nil || total != data {
			return
		}
		sum := int64(0)
		for i := range extents {
			x := &extents[i]
			if n := x.DataLength(); n < 0 || n > x.Length {
				t.Fatalf("%d bytes in an extent of %d", n, x.Length)
			}
			for _, s := range x.Segments {
				if s.Length < 0 || s.Offset < x.Offset || s.Offset+s.Length > x.Offset+x.Length {
					t.Fatalf("segment %+v of %+v", s, x)
				}
			}
			sum += x.DataLength()
		}
		if sum != total || total < 0 || total > chunkSize {
			t.Fatalf("%d bytes in extents, %d in all", sum, total)
		}
		_ = wire.DecodeTrailer(tail, seq, make([]wire.Seal, len(extents)))
	})
}

// FuzzControl: whatever a peer says, it is an error or understood.
func FuzzControl(f *testing.F) {
	f.Add(append([]byte{byte(kindAnswers)}, appendAnswer(nil, 1, 2, 3, make([]wire.Answer, 2))...))
	f.Add(encode(kindConnect, connect{Pairs: []endpoint{{Rail: 1}}}))
	f.Add(failure(errMessage))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		_, _ = eachAnswer(b, nil, func(uint16, uint16, uint64, []wire.Answer) error { return nil })
		_ = decode(b, kindConnect, &connect{})
		_ = decode(b, kindReady, &ready{})
		_ = decode(b, kindGrant, &granted{})
		_ = decode(b, kindEnd, nil)
		_, _ = parseOffer(b)
	})
}
