package transporttest

import (
	"math/rand/v2"
	"os"
	"testing"

	"github.com/xferd/xferd/transport"
)

// content returns n bytes that depend on the entry alone.
func content(entry uint64, n int) []byte {
	r := rand.NewChaCha8([32]byte{byte(entry), byte(entry >> 8), 1})
	b := make([]byte, n)
	r.Read(b)
	return b
}

// fileOf writes b to a file that is gone from the directory already.
func fileOf(t *testing.T, b []byte) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	return f
}

// piece is one extent, cut from data, which is the whole content of the entry.
type piece struct {
	entry    uint64
	offset   int64
	length   int64
	segments []transport.Range // nil: all of it; empty: a hole
	data     []byte
	final    bool
}

// extent makes an extent whose bodies are memory, or ranges of file f, in which
// data stands at its own offsets.
func (p piece) extent(f *os.File) transport.Extent {
	e := transport.Extent{ExtentHeader: transport.ExtentHeader{
		Entry: p.entry, Offset: p.offset, Length: p.length, Segments: p.segments, Final: p.final,
	}}
	if p.segments == nil && p.length > 0 {
		e.Segments = []transport.Range{{Offset: p.offset, Length: p.length}}
	}
	for _, s := range e.Segments {
		b := transport.Body{File: f, FileOffset: s.Offset}
		if f == nil {
			b = transport.Body{Mem: p.data[s.Offset:s.End()]}
		}
		e.Bodies = append(e.Bodies, b)
	}
	return e
}

// slices cuts an entry of n bytes into chunks of one extent.
func slices(entry uint64, n int, f func([]byte) *os.File) (data []byte, chunks []*transport.Chunk) {
	data = content(entry, n)
	var file *os.File
	if f != nil {
		file = f(data)
	}
	for off := 0; off < n; off += ChunkSize {
		p := piece{entry: entry, offset: int64(off), length: int64(min(ChunkSize, n-off)), data: data}
		chunks = append(chunks, &transport.Chunk{
			Seq:     entry<<32 | uint64(len(chunks)),
			Extents: []transport.Extent{p.extent(file)},
		})
	}
	return data, chunks
}
