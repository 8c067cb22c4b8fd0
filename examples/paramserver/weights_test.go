package main

import "testing"

// A label tells of the weights that it was made for, and of no others.
func TestLabel(t *testing.T) {
	w := weights{make([]byte, 3*labelSize)}
	w.train(1)
	first := label{version: 1, last: 2, digest: w.digest()}
	w.setLabel(first)
	if got := w.label(); got != first || got.digest != w.digest() {
		t.Errorf("the label is %+v, not %+v", got, first)
	}
	w.train(2)
	if w.label().digest == w.digest() {
		t.Error("the second version has the digest of the first")
	}
}

func TestReport(t *testing.T) {
	b := make([]byte, reportSize)
	if r, whole := getReport(b); whole {
		t.Errorf("there is a report in empty memory: %+v", r)
	}
	want := report{version: 3, digest: [16]byte{1, 2, 3}}
	want.put(b)
	if r, whole := getReport(b); !whole || r != want {
		t.Errorf("%+v, %v", r, whole)
	}
	b[9]++
	if _, whole := getReport(b); whole {
		t.Error("a report is whole that is half another one")
	}
}
