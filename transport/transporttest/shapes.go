package transporttest

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/xferd/xferd/transport"
)

// shape is what goes over an edge: chunks, and what the entries have to be then.
type shape struct {
	name string
	make func(file func([]byte) *os.File) (chunks []*transport.Chunk, want map[uint64][]byte)
}

func whole(n int) func(func([]byte) *os.File) ([]*transport.Chunk, map[uint64][]byte) {
	return func(file func([]byte) *os.File) ([]*transport.Chunk, map[uint64][]byte) {
		data, chunks := slices(1, n, file)
		return chunks, map[uint64][]byte{1: data}
	}
}

var shapes = []shape{
	{"nothing", func(func([]byte) *os.File) ([]*transport.Chunk, map[uint64][]byte) { return nil, nil }},
	{"1 byte", whole(1)},
	{"chunk-1", whole(ChunkSize - 1)},
	{"chunk", whole(ChunkSize)},
	{"chunk+1", whole(ChunkSize + 1)},
	{"9 chunks", whole(9*ChunkSize - 4097)},
	{"pack", makePack},
	{"holes", makeHoles},
	{"many segments", makeSegments},
	{"one hole", makeHole},
	{"empty extents", makeEmpty},
}

func ask(file func([]byte) *os.File, b []byte) *os.File {
	if file == nil {
		return nil
	}
	return file(b)
}

// makePack fills one chunk with as many small files as it may have.
func makePack(file func([]byte) *os.File) ([]*transport.Chunk, map[uint64][]byte) {
	c := &transport.Chunk{Seq: 1}
	want := map[uint64][]byte{}
	var all []byte
	for i := range uint64(transport.MaxExtents) {
		want[i] = content(i, 1+int(i*7)%2000)
		all = append(all, want[i]...)
	}
	f := ask(file, all)
	at := int64(0)
	for i := range uint64(transport.MaxExtents) {
		e := piece{entry: i, length: int64(len(want[i])), data: want[i], final: i%3 == 0}.extent(nil)
		if f != nil {
			e.Bodies[0] = transport.Body{File: f, FileOffset: at}
		}
		at += e.Length
		c.Extents = append(c.Extents, e)
	}
	return []*transport.Chunk{c}, want
}

func makeHoles(file func([]byte) *os.File) ([]*transport.Chunk, map[uint64][]byte) {
	data := content(1, ChunkSize)
	segs := []transport.Range{{Offset: 5000, Length: 300 << 10}, {Offset: 400 << 10, Length: 100 << 10}, {Offset: 600 << 10, Length: 400 << 10}}
	want := make([]byte, ChunkSize)
	for _, s := range segs {
		copy(want[s.Offset:s.End()], data[s.Offset:])
	}
	p := piece{entry: 1, length: ChunkSize, segments: segs, data: data}
	return []*transport.Chunk{{Seq: 1, Extents: []transport.Extent{p.extent(ask(file, data))}}}, map[uint64][]byte{1: want}
}

func makeSegments(file func([]byte) *os.File) ([]*transport.Chunk, map[uint64][]byte) {
	data := content(1, ChunkSize)
	want := make([]byte, ChunkSize)
	p := piece{entry: 1, length: ChunkSize, data: data}
	for i := range int64(transport.MaxSegments) {
		s := transport.Range{Offset: i*4096 + i, Length: 1000 + i}
		p.segments = append(p.segments, s)
		copy(want[s.Offset:s.End()], data[s.Offset:])
	}
	return []*transport.Chunk{{Seq: 1, Extents: []transport.Extent{p.extent(ask(file, data))}}}, map[uint64][]byte{1: want}
}

func makeHole(func([]byte) *os.File) ([]*transport.Chunk, map[uint64][]byte) {
	p := piece{entry: 1, length: ChunkSize, segments: []transport.Range{}}
	return []*transport.Chunk{{Seq: 1, Extents: []transport.Extent{p.extent(nil)}}}, map[uint64][]byte{1: make([]byte, ChunkSize)}
}

func makeEmpty(file func([]byte) *os.File) ([]*transport.Chunk, map[uint64][]byte) {
	data := content(2, 10)
	c := &transport.Chunk{Seq: 1, Extents: []transport.Extent{
		piece{entry: 1, final: true}.extent(nil),
		piece{entry: 2, length: 10, data: data}.extent(ask(file, data)),
		piece{entry: 3, final: true}.extent(nil),
	}}
	return []*transport.Chunk{c}, map[uint64][]byte{1: nil, 2: data, 3: nil}
}

func testShapes(t *testing.T, s *suite) {
	for _, sh := range shapes {
		for i := range 16 {
			if testing.Short() && bits.OnesCount(uint(i))%2 == 1 {
				continue // the rest still has every combination of any three
			}
			fromFile, toFile, verify, streams := i&1 != 0, i&2 != 0, i&4 != 0, 1+3*(i>>3)
			t.Run(fmt.Sprintf("%s/file=%t,%t/verify=%t/streams=%d", sh.name, fromFile, toFile, verify, streams), func(t *testing.T) {
				var file func([]byte) *os.File
				if fromFile {
					file = func(b []byte) *os.File { return fileOf(t, b) }
				}
				chunks, want := sh.make(file)
				s.move(t, chunks, want, toFile, options{streams: streams, verify: verify})
			})
		}
	}
}

// move runs the chunks over a fresh edge and compares.
func (s *suite) move(t *testing.T, chunks []*transport.Chunk, want map[uint64][]byte, toFile bool, o options) {
	t.Helper()
	sink := NewSink(t)
	sink.Files = toFile
	e := s.connect(t, sink, o)
	feed := NewFeed(chunks...)
	if err := e.run(feed); err != nil {
		t.Fatal(err)
	}
	sink.seal()
	feed.allPlaced(t)
	for entry, w := range want {
		if got := sink.content(t, entry); !bytes.Equal(got, w) {
			t.Errorf("entry %d: %d bytes arrived that are not the %d sent", entry, len(got), len(w))
		}
	}
	var total int64
	for _, c := range chunks {
		for i := range c.Extents {
			x := &c.Extents[i]
			total += x.DataLength()
			s.checkDigest(t, sink, feed, c, i, want[x.Entry][x.Offset:x.End()], o.verify)
			if sink.flags[x.Entry] != x.Final {
				t.Errorf("entry %d: Final is %t", x.Entry, !x.Final)
			}
		}
	}
	for side, st := range map[string]transport.Stats{"source": e.out.Stats(), "target": e.in.Stats()} {
		if st.Bytes != total || st.Chunks != int64(len(chunks)) || st.Streams > max(1, len(chunks)) {
			t.Errorf("%s counted %d bytes, %d chunks, %d streams for %d bytes in %d chunks", side, st.Bytes, st.Chunks, st.Streams, total, len(chunks))
		}
	}
}

func (s *suite) checkDigest(t *testing.T, sink *Sink, feed *Feed, c *transport.Chunk, i int, want []byte, verify bool) {
	t.Helper()
	x := &c.Extents[i]
	there, here := sink.digests[[2]uint64{x.Entry, uint64(x.Offset)}], feed.Verdict(t, c.Seq, i).Digest
	if there != here {
		t.Errorf("entry %d: digest %x at the target, %x at the source", x.Entry, there, here)
	}
	switch {
	case there.IsZero() && verify && s.traits.Digests:
		t.Errorf("entry %d: no digest", x.Entry)
	case !there.IsZero() && !verify:
		t.Errorf("entry %d: digest without being asked to verify", x.Entry)
	case !there.IsZero() && there != digestOf(want):
		t.Errorf("entry %d: wrong digest", x.Entry)
	}
}

// testOrder: the order in which chunks come does not matter.
func testOrder(t *testing.T, s *suite) {
	data, chunks := slices(1, 7*ChunkSize+11, func(b []byte) *os.File { return fileOf(t, b) })
	rand.Shuffle(len(chunks), func(i, j int) { chunks[i], chunks[j] = chunks[j], chunks[i] })
	s.move(t, chunks, map[uint64][]byte{1: data}, true, options{streams: 3, verify: true})
}

// testSources: extents put together from several files and memory, and sources
// that fail in the middle. Only the extents that are hit suffer.
func testSources(t *testing.T, s *suite) {
	const half = ChunkSize / 2
	a, b := content(1, half), content(2, half)
	assembled := append(append([]byte(nil), a...), b...)
	mixed := func(bodies ...transport.Body) transport.Extent {
		e := transport.Extent{Bodies: bodies, ExtentHeader: transport.ExtentHeader{Entry: 1, Length: ChunkSize}}
		e.Segments = []transport.Range{{Offset: 0, Length: half}, {Offset: half, Length: half}}
		return e
	}
	good := piece{entry: 2, length: 100, data: content(9, 100)}
	for _, toFile := range []bool{false, true} {
		t.Run(fmt.Sprintf("two files/file=%t", toFile), func(t *testing.T) {
			c := &transport.Chunk{Extents: []transport.Extent{mixed(transport.Body{File: fileOf(t, a)}, transport.Body{File: fileOf(t, b)})}}
			s.move(t, []*transport.Chunk{c}, map[uint64][]byte{1: assembled}, toFile, options{streams: 1, verify: true})
		})
		t.Run(fmt.Sprintf("file and memory/file=%t", toFile), func(t *testing.T) {
			c := &transport.Chunk{Extents: []transport.Extent{mixed(transport.Body{File: fileOf(t, a)}, transport.Body{Mem: b})}}
			s.move(t, []*transport.Chunk{c}, map[uint64][]byte{1: assembled}, toFile, options{streams: 1, verify: true})
		})
		for i := range 8 {
			verify, closed, small := i&1 != 0, i&2 != 0, i&4 != 0
			t.Run(fmt.Sprintf("bad/file=%t/verify=%t/closed=%t/small=%t", toFile, verify, closed, small), func(t *testing.T) {
				n := int64(ChunkSize - 1000)
				if small {
					n = 1000
				}
				f := fileOf(t, content(1, int(n)-10))
				code := transport.SourceShort
				if closed {
					f.Close()
					code = transport.SourceFailed
				}
				bad := piece{entry: 1, length: n, data: nil}.extent(f)
				chunks := []*transport.Chunk{
					{Seq: 1, Extents: []transport.Extent{bad, good.extent(nil)}},
					{Seq: 2, Extents: []transport.Extent{piece{entry: 3, length: 100, data: good.data}.extent(nil)}},
				}
				s.oneBad(t, chunks, code, toFile, verify)
			})
		}
	}
}

// oneBad runs chunks of which the first extent of the first one fails.
func (s *suite) oneBad(t *testing.T, chunks []*transport.Chunk, code transport.Code, toFile, verify bool) {
	t.Helper()
	sink := NewSink(t)
	sink.Files = toFile
	e := s.connect(t, sink, options{streams: 1, verify: verify})
	feed := NewFeed(chunks...)
	if err := e.run(feed); err != nil {
		t.Fatal(err)
	}
	sink.seal()
	want := map[transport.Code]error{transport.SourceShort: transport.ErrSourceShort, transport.SourceFailed: transport.ErrSourceFailed}[code]
	if v := feed.Verdict(t, 1, 0); v.Code != code || !errors.Is(v.Err, want) {
		t.Errorf("verdict %v, %v", v.Code, v.Err)
	}
	if sink.codes[code] != 1 || sink.codes[transport.Placed] != 2 {
		t.Errorf("the sink was told %v", sink.codes)
	}
	for i, c := range []struct {
		seq    uint64
		extent int
	}{{1, 1}, {2, 0}} {
		if v := feed.Verdict(t, c.seq, c.extent); v.Code != transport.Placed {
			t.Errorf("neighbour %d: %v, %v", i, v.Code, v.Err)
		}
	}
}
