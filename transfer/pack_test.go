package transfer_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

func TestRegionPath(t *testing.T) {
	for _, tt := range []struct {
		path, id string
		ok       bool
	}{
		{"@weights", "weights", true},
		{"@", "", true},
		{"/@weights", "", false},
		{"/a/@b", "", false},
		{"", "", false},
	} {
		id, ok := transfer.RegionOf(tt.path)
		if id != tt.id && tt.ok || ok != tt.ok {
			t.Errorf("RegionOf(%q) = %q, %v", tt.path, id, ok)
		}
	}
	if p := transfer.RegionPath("a.b"); p != "@a.b" {
		t.Errorf("RegionPath = %q", p)
	}
}

func TestRegionID(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, "0": true, "A-b_c.9": true, strings.Repeat("x", 128): true,
		"": false, "-a": false, ".a": false, "_a": false, "a+b": false, "a/b": false, "a b": false, "é": false,
		"@a": false, strings.Repeat("x", 129): false, "a,b": false,
	} {
		if got := transfer.CheckRegionID(id); got != want {
			t.Errorf("CheckRegionID(%q) = %v", id, got)
		}
	}
}

func TestPack(t *testing.T) {
	type r = transport.Range
	for _, tt := range []struct {
		name   string
		pieces []transfer.Piece
		want   []r
		err    string
	}{
		{name: "nothing"},
		{name: "one", pieces: []transfer.Piece{{Length: 5, DestOffset: 7}}, want: []r{{Offset: 7, Length: 5}}},
		{name: "neighbours are one", pieces: []transfer.Piece{{Length: 5, DestOffset: 12}, {Length: 5, DestOffset: 7}}, want: []r{{Offset: 7, Length: 10}}},
		{name: "a gap", pieces: []transfer.Piece{{Length: 5, DestOffset: 13}, {Length: 5, DestOffset: 7}}, want: []r{{Offset: 7, Length: 5}, {Offset: 13, Length: 5}}},
		{name: "empty ones are nowhere", pieces: []transfer.Piece{{Length: 5}, {DestOffset: 3}}, want: []r{{Length: 5}}},
		{name: "overlap", pieces: []transfer.Piece{{Length: 5}, {Length: 1, DestOffset: 4}}, err: "overlap"},
		{name: "the same place", pieces: []transfer.Piece{{Length: 5}, {Length: 5}}, err: "overlap"},
		{name: "up to the last byte", pieces: []transfer.Piece{{Length: 1, DestOffset: math.MaxInt64 - 1}}, want: []r{{Offset: math.MaxInt64 - 1, Length: 1}}},
		{name: "past the last byte", pieces: []transfer.Piece{{Length: 2, DestOffset: math.MaxInt64 - 1}}, err: "past 2^63"},
		{name: "overflow", pieces: []transfer.Piece{{Length: math.MaxInt64, DestOffset: math.MaxInt64}}, err: "past 2^63"},
		{name: "negative", pieces: []transfer.Piece{{Length: 1, DestOffset: -1}}, err: "past 2^63"},
		{name: "unknown length", pieces: []transfer.Piece{{Length: -1}}, err: "not known"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := transfer.Pack(tt.pieces)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Layout.Ranges(); !slices.Equal(got, tt.want) {
				t.Errorf("ranges %v, want %v", got, tt.want)
			}
		})
	}
}

func TestLayoutRefuses(t *testing.T) {
	type r = transport.Range
	for name, ranges := range map[string][]r{
		"empty range":   {{Offset: 1}},
		"negative":      {{Offset: -1, Length: 1}},
		"descending":    {{Offset: 5, Length: 1}, {Offset: 1, Length: 1}},
		"overlapping":   {{Offset: 5, Length: 2}, {Offset: 6, Length: 1}},
		"past the end":  {{Offset: math.MaxInt64, Length: 1}},
		"wraps around":  {{Offset: 1, Length: math.MaxInt64}},
		"negative size": {{Offset: 1, Length: -1}},
	} {
		if _, err := transfer.NewLayout(ranges); err == nil {
			t.Errorf("%s: %v was taken", name, ranges)
		}
	}
	l, err := transfer.NewLayout([]r{{Offset: 4, Length: 4}})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []r{{Offset: -1, Length: 1}, {Offset: 0, Length: 5}, {Offset: 5, Length: 0}, {Offset: 1, Length: math.MaxInt64}, {Length: -1}} {
		if got, err := l.Places(nil, x.Offset, x.Length); err == nil {
			t.Errorf("the places of %v: %v", x, got)
		}
	}
}

// Whatever the pieces are: moving the packed bytes extent by extent puts every
// byte where its piece says, and no other byte anywhere.
func TestPackMovesEveryByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var pieces []transfer.Piece
		var at, size int64
		source := make([]byte, 300)
		for i := range source {
			source[i] = byte(1 + i%250)
		}
		for range rapid.IntRange(0, 12).Draw(t, "pieces") {
			p := transfer.Piece{Offset: rapid.Int64Range(0, 200).Draw(t, "offset"), Length: rapid.Int64Range(0, 40).Draw(t, "length")}
			at += rapid.Int64Range(0, 9).Draw(t, "gap")
			p.DestOffset = at
			at += p.Length
			pieces = append(pieces, p)
		}
		size = at + 3
		want := make([]byte, size)
		for _, p := range pieces {
			copy(want[p.DestOffset:], source[p.Offset:p.Offset+p.Length])
		}
		shuffled := slices.Clone(pieces)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })

		p, err := transfer.Pack(shuffled)
		if err != nil {
			t.Fatal(err)
		}
		packed := make([]byte, p.Layout.Size())
		for _, x := range p.Pieces {
			copy(packed[x.DestOffset:], source[x.Offset:x.Offset+x.Length])
		}
		got := make([]byte, size)
		step := rapid.Int64Range(1, 50).Draw(t, "extent")
		for off := int64(0); off < p.Layout.Size(); off += step {
			n := min(step, p.Layout.Size()-off)
			places, err := p.Layout.Places(nil, off, n)
			if err != nil {
				t.Fatal(err)
			}
			from := packed[off : off+n]
			for _, r := range places {
				from = from[copy(got[r.Offset:r.End()], from):]
			}
			if len(from) != 0 {
				t.Fatalf("%d bytes of the extent at %d have no place", len(from), off)
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

// Many descriptors cost memory and steps in proportion.
func TestPackIsLinear(t *testing.T) {
	const n = 100_000
	pieces := make([]transfer.Piece, n)
	for i := range pieces {
		pieces[i] = transfer.Piece{Path: "@a", Offset: int64(i) * 4096, Length: 1000, DestOffset: int64(n-i) * 8192}
	}
	var p *transfer.Packed
	allocs := testing.AllocsPerRun(1, func() {
		var err error
		if p, err = transfer.Pack(pieces); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 100 {
		t.Errorf("%v allocations", allocs)
	}
	if p.Layout.Size() != n*1000 || len(p.Layout.Ranges()) != n {
		t.Errorf("%d bytes in %d ranges", p.Layout.Size(), len(p.Layout.Ranges()))
	}
	var places []transport.Range
	total := 0
	for off := int64(0); off < p.Layout.Size(); off += 4 << 20 {
		var err error
		if places, err = p.Layout.Places(places[:0], off, min(4<<20, p.Layout.Size()-off)); err != nil {
			t.Fatal(err)
		}
		total += len(places)
	}
	if total > n+n*1000/(4<<20)+1 {
		t.Errorf("%d places", total)
	}
}
