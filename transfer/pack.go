package transfer

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/xferd/xferd/transport"
)

// MaxPlaces is how many ranges of a region one transfer may write.
const MaxPlaces = 1 << 20

// Packed is how the pieces of a transfer into a region travel: as the bytes of
// one entry, back to back in the order of where they belong. So extents and
// chunks are full however small the pieces are.
type Packed struct {
	// Pieces are those that were given, by their place; DestOffset is that in the
	// packed bytes.
	Pieces []Piece
	// Layout says where the packed bytes belong.
	Layout *Layout
}

// Pack lays out pieces whose lengths are known. Errors: pieces that overlap, or
// that end past 2^63.
func Pack(pieces []Piece) (*Packed, error) {
	p := &Packed{Pieces: slices.Clone(pieces)}
	slices.SortStableFunc(p.Pieces, func(a, b Piece) int { return cmp.Compare(a.DestOffset, b.DestOffset) })
	var ranges []transport.Range
	var at int64
	for i := range p.Pieces {
		x := &p.Pieces[i]
		switch {
		case x.Length < 0:
			return nil, fmt.Errorf("the length of the piece at %d is not known", x.DestOffset)
		case x.DestOffset < 0, x.Length > math.MaxInt64-x.DestOffset:
			return nil, fmt.Errorf("a piece of %d bytes at %d ends past 2^63", x.Length, x.DestOffset)
		}
		dest := x.DestOffset
		x.DestOffset = at
		if x.Length == 0 {
			continue
		}
		last := len(ranges) - 1
		switch {
		case last >= 0 && ranges[last].End() > dest:
			return nil, fmt.Errorf("two pieces overlap at %d", dest)
		case last >= 0 && ranges[last].End() == dest:
			ranges[last].Length += x.Length
		default:
			ranges = append(ranges, transport.Range{Offset: dest, Length: x.Length})
		}
		at += x.Length
	}
	var err error
	p.Layout, err = NewLayout(ranges)
	return p, err
}

// Layout is where packed bytes belong: ranges in their order, and where in the
// packed bytes each of them begins.
type Layout struct {
	ranges []transport.Range
	starts []int64
	size   int64
}

// NewLayout checks and takes ranges, which the caller does not change any more:
// they have to be ascending, disjoint and not empty. None at all is a layout of
// no bytes.
func NewLayout(ranges []transport.Range) (*Layout, error) {
	if len(ranges) > MaxPlaces {
		return nil, fmt.Errorf("there are %d ranges; at most %d may be", len(ranges), MaxPlaces)
	}
	l := &Layout{ranges: ranges, starts: make([]int64, len(ranges))}
	var end int64
	for i, r := range ranges {
		switch {
		case r.Length <= 0:
			return nil, fmt.Errorf("range %d has %d bytes", i, r.Length)
		case r.Offset < 0 || r.Length > math.MaxInt64-r.Offset:
			return nil, fmt.Errorf("range %d, of %d bytes at %d, ends past 2^63", i, r.Length, r.Offset)
		case r.Offset < end:
			return nil, fmt.Errorf("range %d begins at %d, before the end of the one before it", i, r.Offset)
		}
		l.starts[i] = l.size
		l.size += r.Length // at most end, so it does not overflow
		end = r.End()
	}
	return l, nil
}

// Ranges are those that the layout was made of. They belong to the layout.
func (l *Layout) Ranges() []transport.Range { return l.ranges }

// Size is the number of packed bytes.
func (l *Layout) Size() int64 { return l.size }

// End is the offset after the last byte of the last range.
func (l *Layout) End() int64 {
	if len(l.ranges) == 0 {
		return 0
	}
	return l.ranges[len(l.ranges)-1].End()
}

var errOutside = errors.New("the bytes are not all of the layout")

// Places appends to dst where the length packed bytes from offset belong, in
// order.
func (l *Layout) Places(dst []transport.Range, offset, length int64) ([]transport.Range, error) {
	if offset < 0 || length < 0 || offset > l.size || length > l.size-offset {
		return dst, errOutside
	}
	i := sort.Search(len(l.starts), func(i int) bool { return l.starts[i]+l.ranges[i].Length > offset })
	for ; length > 0; i++ {
		skip := offset - l.starts[i]
		r := transport.Range{Offset: l.ranges[i].Offset + skip, Length: min(l.ranges[i].Length-skip, length)}
		dst = append(dst, r)
		offset += r.Length
		length -= r.Length
	}
	return dst, nil
}
