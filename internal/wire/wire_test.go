package wire

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// payloadOf takes a frame apart.
func payloadOf(t testing.TB, frame []byte, want Type) []byte {
	t.Helper()
	p, err := DecodePrefix(frame)
	if err != nil {
		t.Fatal(err)
	}
	if p.Type != want || p.Length != len(frame)-PrefixSize {
		t.Fatalf("prefix %+v of a frame of %d bytes", p, len(frame))
	}
	payload := frame[PrefixSize:]
	if err := p.Check(payload); err != nil {
		t.Fatal(err)
	}
	return payload
}

func TestHello(t *testing.T) {
	h := Hello{Major: Major, Minor: 3, Features: 5, UID: [16]byte{1, 15: 2}, Epoch: 9, Stream: 4, Token: [32]byte{7, 31: 8}}
	b := AppendHello(nil, &h)
	if len(b) != HelloSize {
		t.Fatalf("%d bytes", len(b))
	}
	got, err := DecodeHello(b)
	if err != nil || got != h {
		t.Fatalf("%+v, %v", got, err)
	}
	for i := range b {
		bad := append([]byte(nil), b...)
		bad[i] ^= 0x40
		got, err := DecodeHello(bad)
		if err == nil && got.Major == Major {
			t.Errorf("byte %d changed and nothing noticed", i)
		}
	}
	for _, n := range []int{0, HelloSize - 1} {
		if _, err := DecodeHello(b[:n]); !errors.Is(err, ErrBroken) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestReply(t *testing.T) {
	for v := Accepted; v <= Busy; v++ {
		r := Reply{Major: Major, Minor: 1, Features: 2, Verdict: v}
		b := AppendReply(nil, &r)
		got, err := DecodeReply(b)
		if len(b) != ReplySize || err != nil || got != r {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	foreign := AppendReply(nil, &Reply{Major: 9})
	if r, err := DecodeReply(foreign); err != nil || r.Verdict != BadVersion {
		t.Errorf("reply of version 9: %+v, %v", r, err)
	}
}

func sample() *Chunk {
	return &Chunk{Seq: 77, Flags: Digests, Extents: []Extent{
		{Entry: 1, Offset: 0, Length: 100, Flags: Final, Segments: []Range{{0, 100}}},
		{Entry: math.MaxUint64, Offset: math.MaxInt64 - 50, Length: 50, Segments: []Range{{math.MaxInt64 - 50, 10}, {math.MaxInt64 - 5, 5}}},
		{Entry: 3, Offset: 4096, Length: 4096},
		{Entry: 4},
	}}
}

func TestChunk(t *testing.T) {
	want := sample()
	frame, err := AppendChunk([]byte("before"), want)
	if err != nil {
		t.Fatal(err)
	}
	var got Chunk
	for range 2 { // the second time into memory that was used
		if err := DecodeChunk(payloadOf(t, frame[6:], TypeChunk), &got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, &got, cmpopts.IgnoreUnexported(Chunk{}), cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
	}
	if n := got.DataLength(); n != 115 {
		t.Errorf("%d bytes of data", n)
	}
}

func TestLargestChunk(t *testing.T) {
	var c Chunk
	for i := range MaxExtents {
		e := Extent{Entry: uint64(i), Length: 1 << 20}
		for j := range int64(MaxSegments) {
			e.Segments = append(e.Segments, Range{j * 2, 1})
		}
		c.Extents = append(c.Extents, e)
	}
	frame, err := AppendChunk(nil, &c)
	if err != nil {
		t.Fatal(err)
	}
	var got Chunk
	if err := DecodeChunk(payloadOf(t, frame, TypeChunk), &got); err != nil {
		t.Fatal(err)
	}
	if n := got.DataLength(); n != MaxExtents*MaxSegments {
		t.Errorf("%d bytes of data", n)
	}
}

// TestBadExtents: what cannot be is refused by both ends.
func TestBadExtents(t *testing.T) {
	for name, e := range map[string]Extent{
		"negative offset":         {Offset: -1, Length: 1},
		"negative length":         {Length: -1},
		"end overflows":           {Offset: math.MaxInt64, Length: 1},
		"sum overflows":           {Length: math.MaxInt64},
		"segment before":          {Offset: 10, Length: 10, Segments: []Range{{9, 2}}},
		"segment behind":          {Offset: 10, Length: 10, Segments: []Range{{15, 6}}},
		"segment far behind":      {Offset: 10, Length: 10, Segments: []Range{{21, 1}}},
		"segment overflows":       {Offset: 10, Length: 10, Segments: []Range{{11, math.MaxInt64}}},
		"empty segment":           {Offset: 10, Length: 10, Segments: []Range{{11, 0}}},
		"negative segment":        {Offset: 10, Length: 10, Segments: []Range{{11, -1}}},
		"overlapping segments":    {Offset: 10, Length: 10, Segments: []Range{{10, 5}, {14, 2}}},
		"descending segments":     {Offset: 10, Length: 10, Segments: []Range{{15, 1}, {10, 1}}},
		"unknown flag":            {Length: 1, Flags: 4},
		"too many segments":       {Length: 1 << 20, Segments: make([]Range, MaxSegments+1)},
		"segment of empty extent": {Segments: []Range{{0, 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			c := Chunk{Extents: []Extent{{Length: 1}, e}}
			if _, err := AppendChunk(nil, &c); !errors.Is(err, ErrBroken) {
				t.Errorf("AppendChunk: %v", err)
			}
			if err := DecodeChunk(unchecked(&c), new(Chunk)); !errors.Is(err, ErrBroken) {
				t.Errorf("DecodeChunk: %v", err)
			}
		})
	}
}

// unchecked encodes a chunk that AppendChunk would refuse.
func unchecked(c *Chunk) []byte {
	b := binary.LittleEndian.AppendUint64(nil, c.Seq)
	b = binary.LittleEndian.AppendUint16(b, uint16(c.Flags))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(c.Extents)))
	b = binary.LittleEndian.AppendUint32(b, 0)
	for _, e := range c.Extents {
		b = binary.LittleEndian.AppendUint64(b, e.Entry)
		b = binary.LittleEndian.AppendUint64(b, uint64(e.Offset))
		b = binary.LittleEndian.AppendUint64(b, uint64(e.Length))
		b = binary.LittleEndian.AppendUint16(b, uint16(e.Flags))
		b = binary.LittleEndian.AppendUint16(b, uint16(len(e.Segments)))
		for _, s := range e.Segments {
			b = binary.LittleEndian.AppendUint64(b, uint64(s.Offset))
			b = binary.LittleEndian.AppendUint64(b, uint64(s.Length))
		}
	}
	return b
}

func TestChunkCounts(t *testing.T) {
	for _, n := range []int{0, MaxExtents + 1} {
		c := Chunk{Extents: make([]Extent, n)}
		if _, err := AppendChunk(nil, &c); !errors.Is(err, ErrBroken) {
			t.Errorf("%d extents: %v", n, err)
		}
		if err := DecodeChunk(unchecked(&c), new(Chunk)); !errors.Is(err, ErrBroken) {
			t.Errorf("%d extents: %v", n, err)
		}
	}
	b := unchecked(sample())
	for n := range b {
		if err := DecodeChunk(b[:n], new(Chunk)); !errors.Is(err, ErrBroken) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	if err := DecodeChunk(append(b, 0), new(Chunk)); !errors.Is(err, ErrBroken) {
		t.Errorf("one byte more: %v", err)
	}
}

func TestTrailer(t *testing.T) {
	want := []Seal{{Digest: [16]byte{1}}, {State: SourceShort}, {State: SourceBad}}
	p := payloadOf(t, AppendTrailer(nil, 5, want), TypeTrailer)
	got := make([]Seal, 3)
	if err := DecodeTrailer(p, 5, got); err != nil || cmp.Diff(want, got) != "" {
		t.Fatalf("%v, %v", got, err)
	}
	if err := DecodeTrailer(p, 6, got); !errors.Is(err, ErrBroken) {
		t.Errorf("trailer of another chunk: %v", err)
	}
	if err := DecodeTrailer(p, 5, got[:2]); !errors.Is(err, ErrBroken) {
		t.Errorf("trailer of fewer extents: %v", err)
	}
}

func TestAck(t *testing.T) {
	long := strings.Repeat("x", MaxText+10)
	p := payloadOf(t, AppendAck(nil, 8, []Answer{{Code: 1}, {Code: 5, Text: long}, {}, {Code: 2, Text: "bad"}}), TypeAck)
	seq, got, err := DecodeAck(p, make([]Answer, 9))
	want := []Answer{{Code: 1}, {Code: 5, Text: long[:MaxText]}, {}, {Code: 2, Text: "bad"}}
	if seq != 8 || err != nil || cmp.Diff(want, got) != "" {
		t.Fatalf("%d, %v, %v", seq, got, err)
	}
	for n := range p {
		if _, _, err := DecodeAck(p[:n], nil); !errors.Is(err, ErrBroken) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

func TestEndAndFail(t *testing.T) {
	if n, err := DecodeEnd(payloadOf(t, AppendEnd(nil, 12), TypeEnd)); n != 12 || err != nil {
		t.Errorf("end: %d, %v", n, err)
	}
	if text, err := DecodeFail(payloadOf(t, AppendFail(nil, "why"), TypeFail)); text != "why" || err != nil {
		t.Errorf("fail: %q, %v", text, err)
	}
	payloadOf(t, AppendAlive(nil), TypeAlive)
}

func TestPrefix(t *testing.T) {
	for name, c := range map[string]struct {
		frame []byte
		ok    bool
	}{
		"unknown ancillary":           {AppendRaw(nil, 99, make([]byte, 100)), true},
		"unknown ancillary, too long": {AppendRaw(nil, 99, make([]byte, maxAncillary+1)), false},
		"unknown critical":            {AppendRaw(nil, Critical|99, nil), false},
		"end too long":                {AppendRaw(nil, TypeEnd, make([]byte, endSize+1)), false},
		"short":                       {AppendRaw(nil, TypeEnd, nil)[:PrefixSize-1], false},
		"length -1":                   {withLength(math.MaxUint32), false},
		"length over":                 {withLength(maxChunk + 1), false},
		"length 0":                    {withLength(0), true},
	} {
		if _, err := DecodePrefix(c.frame); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := AppendEnd(nil, 1)
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 1
		p, err := DecodePrefix(bad)
		if err == nil {
			err = p.Check(bad[PrefixSize:])
		}
		if !errors.Is(err, ErrBroken) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
}

// withLength makes the prefix of a chunk frame with a length of its own.
func withLength(n uint32) []byte {
	b := AppendRaw(nil, TypeChunk, nil)
	binary.LittleEndian.PutUint32(b, n)
	binary.LittleEndian.PutUint32(b[12:], sum(b[:12]))
	return b
}
