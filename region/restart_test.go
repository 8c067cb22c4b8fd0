package region

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// After a restart a region waits for its memory; whoever has it brings it back.
func TestRestartAndRevival(t *testing.T) {
	h := newHome(t, Config{})
	before := mustCreate(t, h.reg, Spec{ID: "x", Writers: []string{bob}, Readers: []string{eve}})
	_, files := connect(t, h.reg, ann).ask(Greeting + " attach x rw\n")
	_, _ = files[0].WriteAt([]byte("kept"), 0)
	w := mustWrite(t, h.reg, "x", Range{100, 10})
	for range 3 {
		w.Touched()
		if _, err := w.Commit(Commit{}); err != nil {
			t.Fatal(err)
		}
		_ = w.Again()
	}
	_ = w.Close()

	r := h.restart()
	info, err := r.Get(ann, "x")
	if err != nil || info.State != Detached || info.UID != before.UID || info.Generation < 3 || info.Expires.IsZero() {
		t.Fatalf("after the restart: %+v, %v", info, err)
	}
	_, err = r.Read(ann, "x")
	wantKind(t, err, ErrDetached)
	_, err = r.Write(context.Background(), WriteRequest{Principal: ann, ID: "x", Ranges: []Range{{0, 1}}})
	wantKind(t, err, ErrDetached)

	for who, want := range map[string]string{ann: "REGION_FD", eve: "PERMISSION_DENIED"} {
		other := testMemfd(t, 2*PageSize, sizeSeals)
		if a, _ := connect(t, r, who).ask(Greeting+" offer x\n", int(other.Fd())); !strings.HasPrefix(a, "error "+want+" ") {
			t.Errorf("%s offers other memory: %q", who, a)
		}
	}
	c := connect(t, r, bob) // any of those who may write it
	if a, got := c.ask(Greeting+" offer x\n", int(files[0].Fd())); !strings.HasPrefix(a, "ok ") || len(got) != 1 {
		t.Fatalf("revival: %q", a)
	}
	x, err := r.Read(ann, "x")
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if string(x.Memory()[:4]) != "kept" || x.Generation() < info.Generation || x.UID() != before.UID {
		t.Errorf("memory %q, generation %d", x.Memory()[:4], x.Generation())
	}
}

// The generation never falls, over any number of restarts.
func TestGenerationNeverFalls(t *testing.T) {
	h := newHome(t, Config{})
	mustCreate(t, h.reg, Spec{ID: "x"})
	_, files := connect(t, h.reg, ann).ask(Greeting + " attach x rw\n")
	last := uint64(0)
	for range 4 {
		w := mustWrite(t, h.reg, "x", Range{0, 1})
		for range 5 {
			g, err := w.Commit(Commit{})
			if err != nil || g <= last {
				t.Fatalf("generation %d after %d, %v", g, last, err)
			}
			last = g
			_ = w.Again()
		}
		_ = w.Close()
		r := h.restart()
		if a, _ := connect(t, r, ann).ask(Greeting+" offer x\n", int(files[0].Fd())); !strings.HasPrefix(a, "ok ") {
			t.Fatal(a)
		}
	}
}

// What was open when the process died is torn, whatever else was torn before, and
// stays so over further restarts.
func TestOpenAtACrashIsTorn(t *testing.T) {
	h := newHome(t, Config{})
	mustCreate(t, h.reg, Spec{ID: "x"})
	_, files := connect(t, h.reg, ann).ask(Greeting + " attach x rw\n")
	w := mustWrite(t, h.reg, "x", Range{0, 10})
	w.Touched()
	_ = w.Close()
	for i := range int64(2) {
		mustWrite(t, h.reg, "x", Range{100 * (i + 1), 10}) // and no Close: the process dies
	}
	want := []Range{{0, 10}, {100, 10}, {200, 10}}
	torn(t, h.restart(), "x", want...)
	torn(t, h.restart(), "x", want...)
	if a, _ := connect(t, h.reg, ann).ask(Greeting+" offer x\n", int(files[0].Fd())); !strings.HasPrefix(a, "ok ") {
		t.Fatal(a)
	}
	torn(t, h.reg, "x", want...)
	w = mustWrite(t, h.reg, "x", Range{100, 10})
	if _, err := w.Commit(Commit{}); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	torn(t, h.restart(), "x", want[0], want[2])
}

// An inode of another run of the kernel says nothing.
func TestMemoryOfAnotherBoot(t *testing.T) {
	h := newHome(t, Config{Boot: "first"})
	mustCreate(t, h.reg, Spec{ID: "x"})
	_, files := connect(t, h.reg, ann).ask(Greeting + " attach x rw\n")
	h.cfg.Boot = "second"
	if a, _ := connect(t, h.restart(), ann).ask(Greeting+" offer x\n", int(files[0].Fd())); !strings.HasPrefix(a, "error REGION_FD ") {
		t.Error(a)
	}
}

// Many descriptors are stored as few ranges, which cover them.
func TestManyRangesAtACrash(t *testing.T) {
	h := newHome(t, Config{})
	const n = 100_000
	mustCreate(t, h.reg, Spec{ID: "x", Size: n * 8 / PageSize * PageSize})
	var list []Range
	for i := range int64(n - 600) {
		list = append(list, Range{8 * i, 4})
	}
	mustWrite(t, h.reg, "x", list...)
	info, err := h.restart().Get(ann, "x")
	if err != nil || len(info.Torn) == 0 || len(info.Torn) > maxStored || len(ranges(list).minus(info.Torn)) > 0 {
		t.Errorf("%d torn ranges, %v", len(info.Torn), err)
	}
}

// A deleted region leaves nothing in the store, and neither do the writes of others
// before it.
func TestDeleteIsDurable(t *testing.T) {
	h := newHome(t, Config{})
	for i := range 3 {
		mustCreate(t, h.reg, Spec{ID: fmt.Sprint("r", i), TTL: time.Hour})
		mustWrite(t, h.reg, fmt.Sprint("r", i), Range{0, 1})
	}
	r := h.restart()
	for i := range 2 {
		if err := r.Delete(context.Background(), ann, fmt.Sprint("r", i), false); err != nil {
			t.Fatal(err)
		}
	}
	r = h.restart()
	if l := r.List("", "", 0); len(l) != 1 || l[0].ID != "r2" {
		t.Errorf("regions %v", l)
	}
	rows := 0
	_ = r.writes.All(func(string, openRecord) error { rows++; return nil })
	if rows != 1 {
		t.Errorf("%d open writes are stored", rows)
	}
}

// The notice page says which rise of the generation was no commit, and counts the
// writes that began.
func TestNoticeAfterARestart(t *testing.T) {
	h := newHome(t, Config{})
	mustCreate(t, h.reg, Spec{ID: "x"})
	_, files := connect(t, h.reg, ann).ask(Greeting + " attach x rw\n")
	page := mapped(t, files[1], noticeSize, unix.PROT_READ)
	w := mustWrite(t, h.reg, "x", Range{0, 1})
	_, _ = w.Commit(Commit{})
	_ = w.Again()
	at := func(page []byte, off int) uint64 { return binary.LittleEndian.Uint64(page[off:]) }
	if at(page, noticeGeneration) != 1 || at(page, noticeFirst) != 0 || at(page, noticeBegun) != 2 {
		t.Errorf("page %v", page[:64])
	}
	r := h.restart()
	_, got := connect(t, r, ann).ask(Greeting+" offer x\n", int(files[0].Fd()))
	page = mapped(t, got[0], noticeSize, unix.PROT_READ)
	first := at(page, noticeFirst)
	if first <= 1 || at(page, noticeGeneration) != first || at(page, noticeBegun) != 0 {
		t.Errorf("page after the restart %v", page[:64])
	}
	w = mustWrite(t, r, "x", Range{0, 1})
	defer w.Close()
	if _, err := w.Commit(Commit{}); err != nil || at(page, noticeGeneration) != first+1 || at(page, noticeFirst) != first || at(page, noticeBegun) != 1 {
		t.Errorf("page after a commit %v, %v", page[:64], err)
	}
}

// What speaks another version of the protocol is told which one is spoken here.
func TestAttachByAnotherVersion(t *testing.T) {
	r := newRegistry(t)
	mustCreate(t, r, Spec{ID: "x"})
	if a, _ := connect(t, r, ann).ask("XFERREG2 attach x rw\n"); !strings.HasPrefix(a, "error UNSUPPORTED ") || !strings.Contains(a, Greeting) || !strings.Contains(a, "XFERREG2") {
		t.Error(a)
	}
}
