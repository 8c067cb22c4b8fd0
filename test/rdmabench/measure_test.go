package main

import (
	"testing"
	"time"
)

func TestBusy(t *testing.T) {
	got, err := busy("cpu  100 20 3 9999 8888 4 5 0 0 0\ncpu0 1 1 1 1 1 1 1 0 0 0\n")
	if want := 132 * tick; err != nil || got != want {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
	for _, odd := range []string{"", "cpu 1 2", "intr 1 2 3 4 5 6 7 8", "cpu a 2 3 4 5 6 7"} {
		if _, err := busy(odd); err == nil {
			t.Errorf("%q was taken", odd)
		}
	}
	if now, err := machine(); err != nil || now <= 0 {
		t.Errorf("this machine was busy for %s, %v", now, err)
	}
}

func TestMedianAndCosts(t *testing.T) {
	runs := []run{
		{wall: time.Second, bytes: 3e6, cpu: load{process: time.Second, machine: 2 * time.Second}},
		{wall: time.Second, bytes: 1e6, cpu: load{process: time.Second, machine: 2 * time.Second}},
		{wall: time.Second, bytes: 2e6, cpu: load{process: time.Second, machine: 2 * time.Second}},
	}
	if got := median(runs, run.rate); got != 2 {
		t.Errorf("median rate %v MB/s", got)
	}
	if c, w := runs[1].cost(), runs[1].whole(); c != 1000 || w != 2000 {
		t.Errorf("costs %v and %v s/GB", c, w)
	}
	if got := (load{3, 1}).less(load{1, 2}); got != (load{2, 0}) {
		t.Errorf("%+v", got)
	}
}
