package exit

import (
	"errors"
	"fmt"
	"testing"
)

func TestWorst(t *testing.T) {
	for _, c := range []struct {
		in   []int
		want int
	}{
		{nil, OK}, {[]int{OK, OK}, OK}, {[]int{Partial}, Partial}, {[]int{Source, Partial}, Source},
		{[]int{Partial, Source, Destination}, Destination}, {[]int{Destination, Permission}, Permission},
		{[]int{Permission, Space}, Space}, {[]int{Space, Verify, Partial}, Verify},
		{[]int{Failed}, Partial}, {[]int{Unavailable, NotFound, Source}, Source}, {[]int{OK, Failed, OK}, Partial},
	} {
		if got := Worst(c.in...); got != c.want {
			t.Errorf("Worst(%v) = %d, want %d", c.in, got, c.want)
		}
	}
}

func TestCodeOf(t *testing.T) {
	plain := errors.New("x")
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, OK}, {plain, Failed}, {With(Space, plain), Space}, {fmt.Errorf("more: %w", With(Space, plain)), Space},
		{Usagef("bad %d", 1), Usage}, {Silent(13), Cancelled}, {Silent(0), OK}, {With(3, nil), OK}, {&Error{}, Failed},
	} {
		if got := CodeOf(c.err); got != c.want {
			t.Errorf("CodeOf(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}
