package region

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/internal/fault"
)

func mustWrite(t *testing.T, r *Registry, id string, list ...Range) *Writing {
	t.Helper()
	w, err := r.Write(context.Background(), WriteRequest{Principal: ann, ID: id, Ranges: list, Transfer: "nodes/n2/transfers/t"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func torn(t *testing.T, r *Registry, id string, want ...Range) {
	t.Helper()
	info, err := r.Get("", id)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(info.Torn, want) {
		t.Errorf("torn %v, want %v", info.Torn, want)
	}
}

func TestCommitRaisesTheGeneration(t *testing.T) {
	r := newRegistry(t)
	mustCreate(t, r, Spec{ID: "x"})
	x, err := r.Read(ann, "x")
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	for want := uint64(1); want < 4; want++ {
		w := mustWrite(t, r, "x", Range{0, 10})
		w.Touched()
		copy(w.Memory(), "content")
		if n := r.Stats().OpenWrites; n != 1 {
			t.Errorf("%d open writes", n)
		}
		g, err := w.Commit(Commit{Bytes: 10})
		if err != nil || g != want || x.Generation() != want {
			t.Errorf("generation %d, %d, error %v, want %d", g, x.Generation(), err, want)
		}
		if _, err := w.Commit(Commit{}); !errors.Is(err, ErrClosed) {
			t.Errorf("a second commit: %v", err)
		}
		_ = w.Close()
		_ = w.Close()
	}
	got := make([]byte, 7)
	if _, err := x.File().ReadAt(got, 0); err != nil || string(got) != "content" {
		t.Errorf("read %q, %v", got, err)
	}
	torn(t, r, "x")
}

// What was touched and not committed is torn, until it is written again.
func TestTornUntilRewritten(t *testing.T) {
	h := newHome(t, Config{})
	r := h.reg
	mustCreate(t, r, Spec{ID: "x"})
	untouched := mustWrite(t, r, "x", Range{4000, 96})
	_ = untouched.Close()
	torn(t, r, "x")
	w := mustWrite(t, r, "x", Range{0, 100}, Range{200, 100})
	w.Touched()
	_ = w.Close()
	torn(t, r, "x", Range{0, 100}, Range{200, 100})
	again := mustWrite(t, r, "x", Range{50, 200})
	again.Touched()
	if _, err := again.Commit(Commit{}); err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
	torn(t, r, "x", Range{0, 50}, Range{250, 50})
	torn(t, h.restart(), "x", Range{0, 50}, Range{250, 50})
}

func TestOverlappingWritesAreBusy(t *testing.T) {
	r := newRegistry(t)
	mustCreate(t, r, Spec{ID: "x"})
	first := mustWrite(t, r, "x", Range{100, 100}, Range{1000, 1})
	for name, c := range map[string]struct {
		r    Range
		busy bool
	}{
		"the same": {Range{100, 100}, true}, "first byte": {Range{0, 101}, true}, "last byte": {Range{199, 1}, true},
		"inside": {Range{150, 1}, true}, "all": {Range{0, 2 * PageSize}, true}, "second": {Range{1000, 1}, true},
		"before": {Range{0, 100}, false}, "between": {Range{200, 800}, false}, "empty": {Range{150, 0}, false},
	} {
		w, err := r.Write(context.Background(), WriteRequest{Principal: ann, ID: "x", Ranges: []Range{c.r}})
		if (err != nil) != c.busy {
			t.Errorf("%s: %v", name, err)
		}
		if c.busy {
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Kind != ErrBusy || e.Holder != "nodes/n2/transfers/t" {
				t.Errorf("%s: %v, holder %q", name, err, e.Holder)
			}
			continue
		}
		_ = w.Close()
	}
	if _, err := first.Commit(Commit{}); err != nil { // the ranges are still its own
		t.Fatal(err)
	}
	_, err := r.Write(context.Background(), WriteRequest{Principal: ann, ID: "x", Ranges: []Range{{100, 1}}})
	wantKind(t, err, ErrBusy)
	_ = first.Close()
	mustWrite(t, r, "x", Range{100, 1})
}

func TestWriteOutOfRange(t *testing.T) {
	r := newRegistry(t)
	mustCreate(t, r, Spec{ID: "x"})
	for _, bad := range []Range{{0, 2*PageSize + 1}, {2 * PageSize, 1}, {-1, 2}, {1 << 62, 1 << 62}, {1, 1<<63 - 1}} {
		_, err := r.Write(context.Background(), WriteRequest{Principal: ann, ID: "x", Ranges: []Range{bad}})
		wantKind(t, err, ErrRange)
	}
}

// A prepared transfer commits the same ranges many times, beyond a step of the
// stored ceiling too.
func TestWriteAgain(t *testing.T) {
	h := newHome(t, Config{})
	r := h.reg
	mustCreate(t, r, Spec{ID: "x"})
	w := mustWrite(t, r, "x", Range{0, 10})
	r.regions["x"].generation.Store(generationStep - 3)
	last := uint64(0)
	for i := range 10 {
		if i > 0 {
			if err := w.Again(); err != nil {
				t.Fatal(err)
			}
			wantKind(t, w.Again(), ErrClosed)
		}
		w.Touched()
		g, err := w.Commit(Commit{})
		if err != nil || g <= last {
			t.Fatalf("generation %d after %d, error %v", g, last, err)
		}
		last = g
	}
	if err := w.Again(); err != nil {
		t.Fatal(err)
	}
	w.Touched()
	_ = w.Close()
	wantKind(t, w.Again(), ErrClosed)
	torn(t, r, "x", Range{0, 10})
	info, err := h.restart().Get(ann, "x")
	if err != nil || info.Generation < last {
		t.Errorf("generation %d after %d, error %v", info.Generation, last, err)
	}
}

// Delete waits for those who use the memory, and gives it back after the last.
func TestDeleteBusy(t *testing.T) {
	r := newRegistry(t)
	mustCreate(t, r, Spec{ID: "x"})
	w := mustWrite(t, r, "x", Range{0, 10})
	x, err := r.Read(ann, "x")
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	err = r.Delete(context.Background(), ann, "x", false)
	wantKind(t, err, ErrBusy)
	if e, _ := errors.AsType[*Error](err); e.Holder != "nodes/n2/transfers/t" {
		t.Errorf("holder %q", e.Holder)
	}
	deleted := make(chan error, 1)
	go func() { deleted <- r.Delete(context.Background(), ann, "x", true) }()
	<-w.Revoked()
	<-x.Revoked()
	short, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	wantKind(t, r.Delete(short, ann, "x", false), context.DeadlineExceeded) // it is under way
	_, err = w.Commit(Commit{})
	wantKind(t, err, ErrGone)
	_, err = r.Read(ann, "x")
	wantKind(t, err, ErrGone)
	w.Memory()[0] = 1 // is there as long as it is open
	_ = w.Close()
	select {
	case err := <-deleted:
		t.Fatalf("deleted while it is being read: %v", err)
	default:
	}
	_ = x.File()
	_ = x.Close()
	if err := <-deleted; err != nil {
		t.Fatal(err)
	}
	wantKind(t, r.Delete(context.Background(), ann, "x", true), ErrNotFound)
	mustCreate(t, r, Spec{ID: "x"}) // the name is free
}

// Memory that could not be fenced is kept for good, and nobody can use it.
func TestQuarantine(t *testing.T) {
	h := newHome(t, Config{})
	r := h.reg
	mustCreate(t, r, Spec{ID: "x"})
	c := connect(t, r, ann)
	_, files := c.ask(Greeting + " attach x rw\n")
	page := mapped(t, files[1], noticeSize, unix.PROT_READ)
	w := mustWrite(t, r, "x", Range{0, 10})
	memory := w.Memory()
	w.Quarantine(errors.New("the device does not let go"))
	<-w.Revoked()
	_, err := w.Commit(Commit{})
	wantKind(t, err, ErrQuarantined)
	_ = w.Close()
	_ = c.wait() // told by the end of the connection
	if s := State(page[noticeState]); s != Quarantined {
		t.Errorf("the notice page says %v", s)
	}
	memory[0] = 1 // is mapped still
	info, err := r.Get(ann, "x")
	if err != nil || info.State != Quarantined || info.Detail != "the device does not let go" || len(info.Torn) != 1 {
		t.Errorf("%+v, %v", info, err)
	}
	_, err = r.Read(ann, "x")
	wantKind(t, err, ErrQuarantined)
	_, err = r.Write(context.Background(), WriteRequest{Principal: ann, ID: "x"})
	wantKind(t, err, ErrQuarantined)
	wantKind(t, r.Delete(context.Background(), ann, "x", true), ErrQuarantined)
	if a, _ := connect(t, r, ann).ask(Greeting + " attach x r\n"); a[:min(len(a), 24)] != "error REGION_QUARANTINED" {
		t.Errorf("attach: %s", a)
	}
	_, err = r.Create(context.Background(), Spec{ID: "x", Principal: ann, Size: PageSize})
	wantKind(t, err, ErrExists)
}

// A program may punch holes into what it may write. That costs its bytes, and nothing
// else: the daemon's mapping is as long as before.
func TestPunchedHole(t *testing.T) {
	r := newRegistry(t)
	mustCreate(t, r, Spec{ID: "x"})
	_, files := connect(t, r, ann).ask(Greeting + " attach x rw\n")
	w := mustWrite(t, r, "x", Range{0, 2 * PageSize})
	copy(w.Memory(), "bytes")
	if err := unix.Fallocate(int(files[0].Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, PageSize); err != nil {
		t.Fatal(err)
	}
	if err := fault.Guard(func() error { w.Memory()[1]++; return nil }); err != nil {
		t.Errorf("memory is not short here: %v", err)
	}
	if w.Memory()[0] != 0 || w.Memory()[1] != 1 {
		t.Errorf("memory begins with %v", w.Memory()[:2])
	}
}
