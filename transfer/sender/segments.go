package sender

import (
	"bytes"
	"slices"
	"sort"

	"github.com/xferd/xferd/transfer/scan"
	"github.com/xferd/xferd/transport"
)

// holeSize is the granularity in bytes at which zeros in memory become holes.
const holeSize = 4096

var zeros [64 << 10]byte

// appendData appends the ranges of b that are not zeros, in whole blocks. There
// are at most packLimit/(2*holeSize) of them.
func appendData(to []transport.Range, b []byte) []transport.Range {
	open := false
	for at := 0; at < len(b); at += holeSize {
		block := b[at:min(at+holeSize, len(b))]
		switch {
		case bytes.Equal(block, zeros[:len(block)]):
			open = false
		case open:
			to[len(to)-1].Length += int64(len(block))
		default:
			to = append(to, transport.Range{Offset: int64(at), Length: int64(len(block))})
			open = true
		}
	}
	return to
}

// coalesce joins neighbours in r, over the smallest holes first, until there are
// at most limit. It works in place.
func coalesce(r []transport.Range, limit int) []transport.Range {
	if len(r) <= limit {
		return r
	}
	holes := make([]int64, len(r)-1)
	for i := range holes {
		holes[i] = r[i+1].Offset - r[i].End()
	}
	sorted := slices.Clone(holes)
	slices.Sort(sorted)
	excess := len(r) - limit
	below := sorted[excess-1] // all smaller holes go, and some of this size
	ties := excess - sort.Search(len(sorted), func(i int) bool { return sorted[i] >= below })
	out := r[:1]
	for i, hole := range holes {
		next := r[i+1]
		if hole < below || hole == below && ties > 0 {
			if hole == below {
				ties--
			}
			out[len(out)-1].Length = next.End() - out[len(out)-1].Offset
			continue
		}
		out = append(out, next)
	}
	return out
}

// eachPiece gives the parts of an assembly's pieces between from and end.
func eachPiece(a *scan.Assembly, from, end int64, yield func(scan.AssemblyPiece) error) error {
	first := sort.Search(len(a.Pieces), func(i int) bool { return a.Pieces[i].Dest+a.Pieces[i].Length > from })
	for _, p := range a.Pieces[first:] {
		if p.Dest >= end {
			break
		}
		if skip := from - p.Dest; skip > 0 {
			p.Dest, p.Offset, p.Length = p.Dest+skip, p.Offset+skip, p.Length-skip
		}
		p.Length = min(p.Length, end-p.Dest)
		if err := yield(p); err != nil {
			return err
		}
	}
	return nil
}
