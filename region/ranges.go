package region

import (
	"cmp"
	"fmt"
	"slices"
)

// Range is a part of a region, in bytes.
type Range struct {
	Offset int64 `json:"o"`
	Length int64 `json:"n"`
}

// End is the first byte behind the range.
func (r Range) End() int64 { return r.Offset + r.Length }

// ranges are sorted, disjoint, not empty, and do not touch each other.
type ranges []Range

// checkRanges returns what is written, or the first mistake in it: a range that is
// not inside size bytes, or two that overlap. Empty ranges are left out.
func checkRanges(list []Range, size int64) (ranges, error) {
	sorted := make(ranges, 0, len(list))
	for _, r := range list {
		if r.Offset < 0 || r.Length < 0 || r.Offset > size || r.Length > size-r.Offset {
			return nil, &Error{Kind: ErrRange, Err: fmt.Errorf("%d bytes from %d on, of %d", r.Length, r.Offset, size)}
		}
		if r.Length > 0 {
			sorted = append(sorted, r)
		}
	}
	slices.SortFunc(sorted, func(a, b Range) int { return cmp.Compare(a.Offset, b.Offset) })
	for i := 1; i < len(sorted); i++ {
		if sorted[i-1].End() > sorted[i].Offset {
			return nil, &Error{Kind: ErrRange, Err: fmt.Errorf("two ranges overlap: byte %d is in both", sorted[i].Offset)}
		}
	}
	return sorted.merged(), nil
}

// merged joins those that overlap or touch. The receiver is sorted, and is used up.
func (s ranges) merged() ranges {
	out := s[:0]
	for _, r := range s {
		if n := len(out); n > 0 && out[n-1].End() >= r.Offset {
			out[n-1].Length = max(out[n-1].End(), r.End()) - out[n-1].Offset
			continue
		}
		out = append(out, r)
	}
	return out
}

func (s ranges) overlap(t ranges) bool {
	for i, j := 0, 0; i < len(s) && j < len(t); {
		switch {
		case s[i].End() <= t[j].Offset:
			i++
		case t[j].End() <= s[i].Offset:
			j++
		default:
			return true
		}
	}
	return false
}

// plus returns the union.
func (s ranges) plus(t ranges) ranges {
	if len(t) == 0 {
		return s
	}
	all := slices.Concat(s, t)
	slices.SortFunc(all, func(a, b Range) int { return cmp.Compare(a.Offset, b.Offset) })
	return all.merged()
}

// minus returns what of s is not in t.
func (s ranges) minus(t ranges) ranges {
	if !s.overlap(t) {
		return s
	}
	var out ranges
	j := 0
	for _, r := range s {
		for j < len(t) && t[j].End() <= r.Offset {
			j++
		}
		for k := j; k < len(t) && t[k].Offset < r.End(); k++ {
			if t[k].Offset > r.Offset {
				out = append(out, Range{r.Offset, t[k].Offset - r.Offset})
			}
			rest := max(t[k].End(), r.Offset)
			r = Range{rest, max(r.End()-rest, 0)}
			if r.Length == 0 {
				break
			}
		}
		if r.Length > 0 {
			out = append(out, r)
		}
	}
	return out
}

// atMost returns ranges that cover s, n at the most: neighbours are joined with what
// is between them.
func (s ranges) atMost(n int) ranges {
	if len(s) <= n {
		return s
	}
	per := (len(s) + n - 1) / n
	out := make(ranges, 0, n)
	for group := range slices.Chunk(s, per) {
		first, last := group[0], group[len(group)-1]
		out = append(out, Range{first.Offset, last.End() - first.Offset})
	}
	return out
}
