package main

import (
	"slices"
	"testing"
)

// A message is taken only when it is of the step, and all of it is there.
func TestMessage(t *testing.T) {
	cells := []float64{1, -2.5, 0, 1e300}
	whole := make([]byte, messageSize(len(cells)))
	put(whole, 7, cells)
	for _, test := range []struct {
		name  string
		spoil func(b []byte)
		step  int
		want  bool
	}{
		{"whole", func([]byte) {}, 7, true},
		{"of another step", func([]byte) {}, 9, false},
		{"stamp of the next on old cells", func(b []byte) {
			put(b[:stampSize+32], 9, []float64{1, 1, 1, 1})
			copy(b[stampSize:], whole[stampSize:])
		}, 9, false},
		{"half there", func(b []byte) { clear(b[stampSize+16:]) }, 7, false},
		{"nothing there", func(b []byte) { clear(b) }, 0, false},
	} {
		b, got := slices.Clone(whole), make([]float64, len(cells))
		test.spoil(b)
		if ok := get(b, test.step, got); ok != test.want || ok && !slices.Equal(got, cells) {
			t.Errorf("%s: %v, %v", test.name, ok, got)
		}
	}
}

// Halves that know the row of the other compute what the whole does.
func TestHalves(t *testing.T) {
	const rows, cols, steps = 9, 6, 5
	o := options{rows: rows, cols: cols}
	var now, next [2]*plate
	for i := range now {
		first, last := o.half(i)
		now[i], next[i] = newPlate(cols, first-1, last+1), newPlate(cols, first-1, last+1)
	}
	for range steps {
		for i := range now {
			next[i].relax(now[i], 1, now[i].rows()-1)
		}
		copy(next[0].row(next[0].rows()-1), next[1].row(1))
		copy(next[1].row(0), next[0].row(next[0].rows()-2))
		now, next = next, now
	}
	got := append(slices.Clone(now[0].cells[:len(now[0].cells)-cols]), now[1].cells[cols:]...)
	if want := alone(rows, cols, steps).cells; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
