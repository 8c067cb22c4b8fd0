package region

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestCheckRanges(t *testing.T) {
	const size = 100
	for name, c := range map[string]struct {
		in   []Range
		want []Range // nil: refused
	}{
		"all":                {[]Range{{0, size}}, []Range{{0, size}}},
		"unsorted, touching": {[]Range{{50, 10}, {10, 20}, {30, 20}}, []Range{{10, 50}}},
		"empty ones":         {[]Range{{0, 0}, {size, 0}, {5, 1}, {5, 0}}, []Range{{5, 1}}},
		"one byte beyond":    {[]Range{{0, size + 1}}, nil},
		"behind the end":     {[]Range{{size + 1, 0}}, nil},
		"overflow":           {[]Range{{math.MaxInt64 - 1, 100}}, nil},
		"overflow of length": {[]Range{{1, math.MaxInt64}}, nil},
		"negative offset":    {[]Range{{-1, 1}}, nil},
		"negative length":    {[]Range{{1, -1}}, nil},
		"overlap by a byte":  {[]Range{{0, 10}, {9, 1}}, nil},
		"twice the same":     {[]Range{{0, 10}, {0, 10}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := checkRanges(c.in, size)
			if c.want == nil {
				if !errors.Is(err, ErrRange) {
					t.Fatalf("error %v, want ErrRange", err)
				}
				return
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Fatalf("%v, %v, want %v", got, err, c.want)
			}
		})
	}
}

// The set operations agree with sets of bytes.
func TestRangesAgainstBytes(t *testing.T) {
	const size = 64
	random := func() (s ranges, set [size]bool) {
		for range rand.IntN(6) {
			o := rand.Int64N(size)
			n := rand.Int64N(size - o + 1)
			if n == 0 {
				continue
			}
			s = s.plus(ranges{{o, n}})
			for i := o; i < o+n; i++ {
				set[i] = true
			}
		}
		return s, set
	}
	setOf := func(s ranges) (set [size]bool) {
		last := int64(-1)
		for _, r := range s {
			if r.Length <= 0 || r.Offset <= last {
				t.Fatalf("%v is not sorted, disjoint and apart", s)
			}
			last = r.End()
			for i := r.Offset; i < r.End(); i++ {
				set[i] = true
			}
		}
		return set
	}
	for range 5000 {
		a, as := random()
		b, bs := random()
		if setOf(a) != as {
			t.Fatalf("%v is not what was put together", a)
		}
		var minus, plus [size]bool
		overlap := false
		for i := range size {
			minus[i], plus[i] = as[i] && !bs[i], as[i] || bs[i]
			overlap = overlap || as[i] && bs[i]
		}
		got := a.minus(b)
		if setOf(got) != minus {
			t.Fatalf("%v minus %v is %v", a, b, got)
		}
		if setOf(a.plus(b)) != plus {
			t.Fatalf("%v plus %v is %v", a, b, a.plus(b))
		}
		if a.overlap(b) != overlap {
			t.Fatalf("%v and %v: overlap is %v", a, b, !overlap)
		}
		few := a.atMost(2)
		if len(few) > 2 || len(ranges(few).minus(a)) == 0 && len(a) > 2 || len(a.minus(few)) > 0 {
			t.Fatalf("%v in two is %v", a, few)
		}
	}
}
