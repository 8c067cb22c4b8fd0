package transporttest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/xferd/xferd/transport"
)

// origin is how the bytes of a source are given.
type origin int

const (
	fromMapped   origin = iota // memory that is DialOptions.Memory
	fromBoth                   // and its file
	fromFile                   // the file alone
	fromAnywhere               // memory that nobody was told of
	origins
)

func (o origin) String() string {
	return [...]string{"mapped", "mapped and file", "file", "elsewhere"}[o]
}

// body of n bytes of a region, from off on.
func (o origin) body(src *Region, off, n int64) transport.Body {
	switch mem := src.Mem[off : off+n : off+n]; o {
	case fromMapped:
		return transport.Body{Mem: mem}
	case fromBoth:
		return transport.Body{Mem: mem, File: src.File, FileOffset: off}
	case fromFile:
		return transport.Body{File: src.File, FileOffset: off}
	default:
		return transport.Body{Mem: bytes.Clone(mem)}
	}
}

// load is a transfer into memory.
type load struct {
	src, dst *Region
	from     origin
	at       int64 // in src, from which on the packed bytes lie
	layout   Layout
	places   func(off, n int64) []transport.Range
}

func newLoad(t *testing.T, from origin, size int, layout Layout) *load {
	t.Helper()
	l := &load{from: from, at: 77, layout: layout, places: layout.index()}
	n := layout.Size()
	l.src, l.dst = NewRegion(t, int(n)+4096), NewRegion(t, size)
	copy(l.src.Mem[l.at:], content(5, int(n)))
	return l
}

func (l *load) packed() []byte { return l.src.Mem[l.at : l.at+l.layout.Size()] }

// extent of the packed bytes.
func (l *load) extent(off, n int64) transport.Extent {
	return transport.Extent{
		ExtentHeader: transport.ExtentHeader{Entry: 1, Offset: off, Length: n, Segments: []transport.Range{{Offset: off, Length: n}}},
		Bodies:       []transport.Body{l.from.body(l.src, l.at+off, n)},
		Places:       l.places(off, n),
	}
}

// chunks of one extent each, all on the grid.
func (l *load) chunks() (all []*transport.Chunk) {
	for off, total := int64(0), l.layout.Size(); off < total; off += ChunkSize {
		all = append(all, &transport.Chunk{Seq: uint64(len(all)), Extents: []transport.Extent{l.extent(off, min(ChunkSize, total-off))}})
	}
	return all
}

// sink that has extents land where they belong.
func (l *load) sink(t *testing.T) *Sink {
	s := NewSink(t)
	s.InPlace = func(h transport.ExtentHeader) (pieces [][]byte) {
		for _, r := range l.places(h.Offset, h.Length) {
			pieces = append(pieces, l.dst.Mem[r.Offset:r.End():r.End()])
		}
		return pieces
	}
	return s
}

func (l *load) options(streams int, verify bool) options {
	return options{
		streams: streams, verify: verify,
		memory:  &transport.Memory{Base: l.dst.Mem, Needed: l.layout},
		sources: []*transport.Memory{{Base: l.src.Mem}},
	}
}

// move runs it and compares.
func (l *load) move(t *testing.T, s *suite, o options) {
	t.Helper()
	sink := l.sink(t)
	e := s.connect(t, sink, o)
	feed := NewFeed(l.chunks()...)
	if err := e.run(feed); err != nil {
		t.Fatal(err)
	}
	sink.seal()
	feed.allPlaced(t)
	l.layout.Check(t, l.dst.Mem, l.packed())
	for _, c := range feed.chunks {
		x := &c.Extents[0]
		s.checkDigest(t, sink, feed, c, 0, l.packed()[x.Offset:x.End()], o.verify)
	}
	for side, st := range map[string]transport.Stats{"source": e.out.Stats(), "target": e.in.Stats()} {
		if st.Bytes != l.layout.Size() || st.Chunks != int64(len(feed.chunks)) {
			t.Errorf("%s counted %d bytes in %d chunks, of %d in %d", side, st.Bytes, st.Chunks, l.layout.Size(), len(feed.chunks))
		}
	}
}

// layouts are shapes of where bytes belong, and the size of the memory.
var layouts = []struct {
	name   string
	size   int
	layout Layout
}{
	{"all of it", 3 * ChunkSize, Layout{{Length: 3 * ChunkSize}}},
	{"1 byte", 4096, Layout{{Offset: 4095, Length: 1}}},
	{"odd", 4*ChunkSize + 8192, Layout{{Offset: 4097, Length: 3*ChunkSize + 1001}}},
	{"gaps", 8 * ChunkSize, Layout{{Offset: 1, Length: ChunkSize - 1}, {Offset: ChunkSize + 3, Length: 17}, {Offset: 3*ChunkSize + 9, Length: 2*ChunkSize + 7}}},
	{"backwards", 4 * ChunkSize, Layout{{Offset: 2*ChunkSize + 5, Length: ChunkSize}, {Offset: 123, Length: ChunkSize + 1}}},
	{"many", 4 * ChunkSize, every(3000, 700, 300)},
}

// every makes n places of about that length, with gaps between.
func every(n, length, gap int64) (l Layout) {
	for i, at := int64(0), int64(11); i < n; i++ {
		k := length - i%7
		l = append(l, transport.Range{Offset: at, Length: k})
		at += k + gap + i%5
	}
	return l
}

func testMemoryShapes(t *testing.T, s *suite) {
	for i, x := range layouts {
		for from := range origins {
			for _, verify := range []bool{true, false} {
				if testing.Short() && (i+int(from))%2 == 1 == verify {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/verify=%t", x.name, from, verify), func(t *testing.T) {
					l := newLoad(t, from, x.size, x.layout)
					l.move(t, s, l.options(1+3*(i%2), verify))
				})
			}
		}
	}
}

// testMemoryManyPlaces: as many places as one call may name.
func testMemoryManyPlaces(t *testing.T, s *suite) {
	layout := every(100_000, 25, 9)
	l := newLoad(t, fromBoth, 8*ChunkSize, layout)
	l.move(t, s, l.options(2, true))
}

// testMemoryIntoFiles: memory as a source of what lands elsewhere.
func testMemoryIntoFiles(t *testing.T, s *suite) {
	for from := range origins {
		for _, toFile := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/file=%t", from, toFile), func(t *testing.T) {
				l := newLoad(t, from, 4096, Layout{{Length: 3*ChunkSize + 5}})
				chunks := l.chunks()
				for _, c := range chunks {
					c.Extents[0].Places = nil
				}
				o := l.options(2, true)
				o.memory = nil
				s.move(t, chunks, map[uint64][]byte{1: l.packed()}, toFile, o)
			})
		}
	}
}

// testMemoryHoles: a source with holes leaves zeros in memory.
func testMemoryHoles(t *testing.T, s *suite) {
	for _, verify := range []bool{true, false} {
		const n = 300_000
		l := newLoad(t, fromMapped, 2*ChunkSize, Layout{{Offset: 13, Length: 100_000}, {Offset: 200_000, Length: n - 100_000}})
		want := make([]byte, n)
		x := l.extent(0, n)
		x.Segments, x.Bodies = []transport.Range{{Offset: 40_000, Length: 70_000}, {Offset: 200_000, Length: 50_000}}, nil
		for _, seg := range x.Segments {
			copy(want[seg.Offset:seg.End()], l.packed()[seg.Offset:])
			x.Bodies = append(x.Bodies, l.from.body(l.src, l.at+seg.Offset, seg.Length))
		}
		sink := l.sink(t)
		e := s.connect(t, sink, l.options(1, verify))
		feed := NewFeed(&transport.Chunk{Extents: []transport.Extent{x}})
		if err := e.run(feed); err != nil {
			t.Fatal(err)
		}
		feed.allPlaced(t)
		l.layout.Check(t, l.dst.Mem, want)
		s.checkDigest(t, sink, feed, feed.chunks[0], 0, want, verify)
	}
}

// testMemoryBadSource: a source that ends too early costs its extent.
func testMemoryBadSource(t *testing.T, s *suite) {
	l := newLoad(t, fromFile, 2*ChunkSize, Layout{{Offset: 5, Length: ChunkSize}})
	short := fileOf(t, make([]byte, 1000))
	chunks := []*transport.Chunk{{Seq: 1, Extents: []transport.Extent{l.extent(0, 5000), l.extent(5000, 5000), l.extent(10_000, 5000)}}}
	chunks[0].Extents[1].Bodies[0] = transport.Body{File: short}
	e := s.connect(t, l.sink(t), l.options(1, true))
	feed := NewFeed(chunks...)
	if err := e.run(feed); err != nil {
		t.Fatal(err)
	}
	for i, code := range []transport.Code{transport.Placed, transport.SourceShort, transport.Placed} {
		if v := feed.Verdict(t, 1, i); v.Code != code {
			t.Errorf("extent %d: %v, %v", i, v.Code, v.Err)
		}
	}
	for _, off := range []int{0, 10_000} {
		if !bytes.Equal(l.dst.Mem[5+off:5+off+5000], l.packed()[off:off+5000]) {
			t.Errorf("the extent at %d is not there", off)
		}
	}
	if i, j := stray(l.dst.Mem[:5]), stray(l.dst.Mem[5+15_000:]); i >= 0 || j >= 0 {
		t.Fatalf("bytes %d and %d were written, which belong to none", i, j)
	}
}
