package region

import (
	"context"
	"errors"
	"io"
	"testing"
)

func commit(t *testing.T, r *Registry, id string, n int, list ...Range) {
	t.Helper()
	w := mustWrite(t, r, id, list...)
	for i := range n {
		if i > 0 {
			_ = w.Again()
		}
		if _, err := w.Commit(Commit{Transfer: "t", Bytes: 5, Digest: [16]byte{1}}); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.Close()
}

func TestWatch(t *testing.T) {
	r := newRegistry(t)
	mustCreate(t, r, Spec{ID: "x", Readers: []string{bob}})
	_, err := r.Watch(eve, "x", nil)
	wantKind(t, err, ErrNotFound)
	w, err := r.Watch(bob, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan []Event)
	errs := make(chan error, 1)
	go func() {
		defer close(got)
		for {
			list, err := w.Next(t.Context())
			if err != nil {
				errs <- err
				return
			}
			got <- list
		}
	}()
	commit(t, r, "x", 1, Range{10, 5})
	e := (<-got)[0]
	if e.Kind != Committed || e.Generation != 1 || len(e.Ranges) != 1 || e.Ranges[0] != (Range{10, 5}) || e.Transfer != "t" ||
		e.Principal != ann || e.Bytes != 5 || e.Digest != ([16]byte{1}) || e.State != Ready {
		t.Errorf("event %+v", e)
	}
	if err := r.Delete(context.Background(), ann, "x", false); err != nil {
		t.Fatal(err)
	}
	if e := (<-got)[0]; e.Kind != StateChanged || e.State != Deleting {
		t.Errorf("event %+v", e)
	}
	for range got {
	}
	if err := <-errs; !errors.Is(err, io.EOF) {
		t.Errorf("the watch ended with %v", err)
	}
}

// A watch goes on from a generation, as long as what came after it is remembered.
func TestWatchFromAGeneration(t *testing.T) {
	h := newHome(t, Config{})
	r := h.reg
	mustCreate(t, r, Spec{ID: "x"})
	commit(t, r, "x", 5, Range{0, 5})
	from := func(r *Registry, g uint64) ([]Event, error) {
		w, err := r.Watch(ann, "x", &g)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		return w.Next(ctx)
	}
	if list, err := from(r, 2); err != nil || len(list) != 3 || list[0].Generation != 3 {
		t.Errorf("after 2: %v, %v", list, err)
	}
	if list, err := from(r, 0); err != nil || list[len(list)-1].Generation != 5 {
		t.Errorf("after 0: %v, %v", list, err)
	}
	if _, err := from(r, 5); !errors.Is(err, context.Canceled) { // waits
		t.Errorf("after 5: %v", err)
	}
	_, err := from(r, 6)
	wantKind(t, err, ErrCompacted)
	commit(t, r, "x", 2*maxHistory, Range{0, 5})
	_, err = from(r, 5)
	wantKind(t, err, ErrCompacted)
	_, err = from(h.restart(), 5)
	wantKind(t, err, ErrCompacted)
}

// A watcher that is too slow is told so, and holds nobody up.
func TestSlowWatcherIsCompacted(t *testing.T) {
	r := newRegistry(t)
	mustCreate(t, r, Spec{ID: "x"})
	w, err := r.Watch(ann, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, r, "x", maxHistory/2, Range{0, 5})
	if list, err := w.Next(t.Context()); err != nil || len(list) != maxHistory/2 {
		t.Fatalf("%d events, %v", len(list), err)
	}
	commit(t, r, "x", 2*maxHistory, Range{0, 5})
	_, err = w.Next(t.Context())
	wantKind(t, err, ErrCompacted)
}

// Of many ranges an event has few, which cover them.
func TestEventOfManyRanges(t *testing.T) {
	r := newRegistry(t)
	mustCreate(t, r, Spec{ID: "x"})
	var list []Range
	for i := range int64(1000) {
		list = append(list, Range{8 * i, 4})
	}
	zero := uint64(0)
	commit(t, r, "x", 1, list...)
	w, err := r.Watch(ann, "x", &zero)
	if err != nil {
		t.Fatal(err)
	}
	events, err := w.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e := events[0]
	if !e.More || len(e.Ranges) > MaxEventRanges || len(ranges(list).minus(e.Ranges)) > 0 {
		t.Errorf("more %v, %d ranges", e.More, len(e.Ranges))
	}
}
