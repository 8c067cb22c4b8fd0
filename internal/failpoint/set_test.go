package failpoint

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestOrders(t *testing.T) {
	for _, test := range []struct {
		plan string
		dies []int // of the points below, counted from 1
	}{
		{"", nil},
		{"a:1:kill", []int{1}},
		{"a:2:kill", []int{3}},
		{"b:1:kill;a:3:kill", []int{2, 5}},
		{"*:4:kill", []int{4}},
		{"c:1:kill", nil},
	} {
		s, err := parse(test.plan)
		if err != nil {
			t.Fatal(err)
		}
		var dies []int
		at := 0
		s.die = func() { dies = append(dies, at) }
		for i, name := range []string{"a", "b", "a", "b", "a"} {
			at = i + 1
			s.hit(name)
		}
		if !slices.Equal(dies, test.dies) {
			t.Errorf("%q: dies at %v, want %v", test.plan, dies, test.dies)
		}
	}
	for _, bad := range []string{"a", "a:1", "a:0:kill", "a:x:kill", ":1:kill", "a:1:die", "a:1:hold="} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestPanic(t *testing.T) {
	s, err := parse("a:2:panic")
	if err != nil {
		t.Fatal(err)
	}
	s.hit("a")
	func() {
		defer func() {
			if p := recover(); p != "failpoint a" {
				t.Errorf("panic %v", p)
			}
		}()
		s.hit("a")
	}()
	s.hit("a") // others pass
}

func TestTraceAndHold(t *testing.T) {
	dir := t.TempDir()
	held, trace := filepath.Join(dir, "held"), filepath.Join(dir, "trace")
	s, err := parse("b:1:hold=" + held)
	if err != nil {
		t.Fatal(err)
	}
	if s.trace, err = os.Create(trace); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.hit("a")
		s.hit("b")
	}()
	for _, err := os.Lstat(held); err != nil; _, err = os.Lstat(held) {
		select {
		case <-done:
			t.Fatal("it was not held")
		default:
		}
	}
	s.hit("c") // others go on
	if err := os.Remove(held); err != nil {
		t.Fatal(err)
	}
	<-done
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(string(b)); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("trace %v", got)
	}
}
