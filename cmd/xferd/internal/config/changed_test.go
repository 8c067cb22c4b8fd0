package config

import (
	"slices"
	"testing"
)

// Every key is compared, and told apart by whether a running node takes it over.
func TestChanged(t *testing.T) {
	for _, s := range settings {
		a, b := Default(), Default()
		// One of these is a value of every key, and the default of none.
		for _, v := range []string{"11", "11s", "11MB/s", "11MB", "true", "/new:ro", "another"} {
			b = Default()
			if b.apply(s, v, "test") == nil {
				break
			}
		}
		taken, restart := Changed(a, b)
		want := [][]string{nil, {s.key}}
		if slices.Contains(live, s.key) {
			want = [][]string{{s.key}, nil}
		}
		if !slices.Equal(taken, want[0]) || !slices.Equal(restart, want[1]) {
			t.Errorf("%s: taken over %v, at the next start %v", s.key, taken, restart)
		}
		if taken, restart := Changed(b, b); taken != nil || restart != nil {
			t.Errorf("%s: the same differs: %v, %v", s.key, taken, restart)
		}
	}
}
