package region

import (
	"context"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/internal/fault"
	"github.com/xferd/xferd/test/needs"
)

func huge(id string, pages int64) Spec {
	return Spec{ID: id, Principal: ann, Size: pages * needs.HugePage, HugePages: needs.HugePage}
}

func TestHugePages(t *testing.T) {
	needs.HugePages(t, 2)
	r := newRegistry(t)
	mustCreate(t, r, huge("x", 2))
	_, files := connect(t, r, ann).ask(Greeting + " attach x rw\n")
	mine := mapped(t, files[0], 2*needs.HugePage, unix.PROT_READ|unix.PROT_WRITE)
	w := mustWrite(t, r, "x", Range{needs.HugePage, 4})
	copy(w.Memory()[needs.HugePage:], "huge")
	if string(mine[needs.HugePage:needs.HugePage+4]) != "huge" {
		t.Error("the program does not see what was written")
	}
	// There are no more: that is told now, not when they are touched.
	_, err := r.Create(context.Background(), huge("y", 64))
	wantKind(t, err, ErrNoMemory)
	_, err = r.Create(context.Background(), Spec{ID: "z", Principal: ann, Size: 1 << 30, HugePages: 256 << 20})
	if !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrNoMemory) {
		t.Errorf("pages of a size that no machine has: %v", err)
	}
}

// A program that may write punches a hole into its memory, and another takes the page:
// the daemon's touch faults, which is an error and not its end.
func TestFaultOfAPunchedHole(t *testing.T) {
	needs.HugePages(t, 1)
	r := newRegistry(t)
	mustCreate(t, r, huge("x", 1))
	_, files := connect(t, r, ann).ask(Greeting + " attach x rw\n")
	w := mustWrite(t, r, "x", Range{0, 10})
	if err := unix.Fallocate(int(files[0].Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, needs.HugePage); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, r, huge("thief", 1))
	err := fault.Guard(func() error { w.Memory()[0] = 1; return nil })
	if _, ok := errors.AsType[*fault.Error](err); !ok {
		t.Fatalf("a touch of memory that cannot be had: %v", err)
	}
	if err := r.Delete(context.Background(), ann, "thief", false); err != nil {
		t.Fatal(err)
	}
	if err := fault.Guard(func() error { w.Memory()[0] = 1; return nil }); err != nil {
		t.Errorf("the page is free again: %v", err)
	}
}

func TestNUMANode(t *testing.T) {
	if _, err := os.Stat("/sys/devices/system/node/node0"); err != nil {
		needs.Missing(t, "this kernel has no NUMA nodes: %v", err)
	}
	r := newRegistry(t)
	zero, none := 0, 1000
	mustCreate(t, r, Spec{ID: "x", NUMANode: &zero})
	_, err := r.Create(context.Background(), Spec{ID: "y", Principal: ann, Size: PageSize, NUMANode: &none})
	wantKind(t, err, ErrUnsupported)
}
