package verbs

import (
	"errors"
	"slices"
	"testing"

	"github.com/xferd/xferd/transport"
)

// TestSpans: what is registered of memory.
func TestSpans(t *testing.T) {
	base := make([]byte, 64<<20)
	scattered := func(n, length, step int64) (l []transport.Range) {
		for i := range n {
			l = append(l, transport.Range{Offset: i * step, Length: length})
		}
		return l
	}
	for name, tt := range map[string]struct {
		needed []transport.Range
		most   int64
		want   []transport.Range
	}{
		"all":       {nil, partSize, []transport.Range{{Length: 64 << 20}}},
		"none":      {[]transport.Range{}, partSize, nil},
		"empty":     {[]transport.Range{{Offset: 5}}, partSize, nil},
		"odd":       {[]transport.Range{{Offset: 5, Length: 3}}, partSize, []transport.Range{{Offset: 5, Length: 3}}},
		"near":      {[]transport.Range{{Offset: gap + 5, Length: 3}, {Length: 5}}, partSize, []transport.Range{{Length: gap + 8}}},
		"far":       {[]transport.Range{{Offset: gap + 6, Length: 3}, {Length: 5}}, partSize, []transport.Range{{Length: 5}, {Offset: gap + 6, Length: 3}}},
		"within":    {[]transport.Range{{Length: 100}, {Offset: 10, Length: 5}, {Offset: 50, Length: 70}}, partSize, []transport.Range{{Length: 120}}},
		"in pieces": {[]transport.Range{{Offset: 7, Length: 25 << 20}}, 10 << 20, []transport.Range{{Offset: 7, Length: 10 << 20}, {Offset: 10<<20 + 7, Length: 10 << 20}, {Offset: 20<<20 + 7, Length: 5 << 20}}},
	} {
		got, err := spansOf(&transport.Memory{Base: base, Needed: tt.needed}, tt.most)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, tt.want)
		}
	}
	needed := scattered(200, 10, 300<<10)
	got, err := spansOf(&transport.Memory{Base: base, Needed: needed}, partSize)
	if err != nil || len(got) > maxParts {
		t.Fatalf("%d parts, %v", len(got), err)
	}
	for _, r := range needed {
		if !slices.ContainsFunc(got, func(s transport.Range) bool { return s.Offset <= r.Offset && r.End() <= s.End() }) {
			t.Errorf("%v is in no part", r)
		}
	}
	for _, bad := range []transport.Range{{Offset: -1, Length: 2}, {Offset: 64 << 20, Length: 1}, {Length: 64<<20 + 1}, {Offset: 1, Length: 1<<63 - 1}, {Length: -1}} {
		if _, err := spansOf(&transport.Memory{Base: base, Needed: []transport.Range{bad}}, partSize); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
	if _, err := spansOf(&transport.Memory{Base: base}, 4096); err == nil {
		t.Error("16384 parts are taken")
	}
}

// TestCheckParts: what a target may say of its memory.
func TestCheckParts(t *testing.T) {
	p := func(off int64, addr uint64, n int, keys ...uint32) part { return part{off, window{addr, keys, n}} }
	for name, tt := range map[string]struct {
		ok    bool
		parts []part
	}{
		"none":      {true, nil},
		"good":      {true, []part{p(0, 4096, 10, 1), p(10, 9000, 90, 2)}},
		"overlap":   {false, []part{p(0, 4096, 11, 1), p(10, 9000, 90, 2)}},
		"backwards": {false, []part{p(50, 4096, 10, 1), p(10, 9000, 9, 2)}},
		"too long":  {false, []part{p(50, 4096, 51, 1)}},
		"beyond":    {false, []part{p(1<<63-1, 4096, 1<<63-1, 1)}},
		"negative":  {false, []part{p(-1, 4096, 5, 1)}},
		"empty":     {false, []part{p(1, 4096, 0, 1)}},
		"no key":    {false, []part{p(1, 4096, 5)}},
		"wraps":     {false, []part{p(1, 1<<64-3, 5, 1)}},
		"many":      {false, make([]part, 2*maxParts+1)},
	} {
		if err := checkParts(tt.parts, 100, 1); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPinned: what is registered of programs' memory is counted at both ends, for
// each principal, and no more than allowed; the reason is told.
func TestPinned(t *testing.T) {
	inBubble(t, setup{limits: Limits{Pinned: 3 * size, PinnedEach: 2 * size}}, func(t *testing.T, r *rig) {
		big, half := newPlaced(t, size, transport.Range{Length: size}), newPlaced(t, size, transport.Range{Length: size / 2})
		again := newPlaced(t, size, transport.Range{Length: size})
		first, second := big.edge(), again.edge()
		r.connectTo(t, first, big)
		r.connectTo(t, second, again)
		for _, n := range []*node{r.src, r.dst} {
			if p := n.Pinned(); p.Bytes != 2*size || p.Principals["uid:1000"] != 2*size || p.Most != 3*size || p.Each != 2*size {
				t.Errorf("%+v", p)
			}
		}
		e := half.edge()
		r.prepare(t, e, half)
		if err := r.dial(t.Context(), e); reason(t, err) != transport.PinnedLimit || !errors.Is(err, errPinned) {
			t.Errorf("more than one may: %v", err)
		}
		_ = e.close(t)
		other := half.edge()
		other.principal = "uid:1"
		r.connectTo(t, other, half)
		e = big.edge()
		e.principal = "uid:2"
		e.sources = nil // the target alone
		r.prepare(t, e, big)
		if err := r.dial(t.Context(), e); reason(t, err) != transport.PinnedLimit {
			t.Errorf("more than all may: %v", err)
		}
		_ = e.close(t)
		for _, e := range []*edge{first, second, other} {
			if err := e.close(t); err != nil {
				t.Error(err)
			}
		}
		for _, n := range []*node{r.src, r.dst} {
			if p := n.Pinned(); p.Bytes != 0 || len(p.Principals) != 0 {
				t.Errorf("afterwards %+v", p)
			}
		}
	})
}
