package fault

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// TestGuard: memory behind the end of its file is an error, and the process and
// what else it does go on.
func TestGuard(t *testing.T) {
	fd, err := unix.MemfdCreate("fault", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, 8192); err != nil {
		t.Fatal(err)
	}
	mem, err := unix.Mmap(fd, 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mem)
	if err := unix.Ftruncate(fd, 4096); err != nil {
		t.Fatal(err)
	}
	sum := byte(0)
	if err := Guard(func() { sum += mem[0] }); err != nil {
		t.Errorf("memory that is there: %v", err)
	}
	for range 2 {
		if err := Guard(func() { sum += mem[4096] }); !errors.Is(err, Err) {
			t.Errorf("read: %v", err)
		}
		if err := Guard(func() { mem[5000] = 1 }); !errors.Is(err, Err) {
			t.Errorf("write: %v", err)
		}
		if err := Guard(func() { copy(mem[4000:], mem[4090:5000]) }); !errors.Is(err, Err) {
			t.Errorf("copy: %v", err)
		}
	}
}

// TestGuardOthers: what is no fault of memory is not swallowed.
func TestGuardOthers(t *testing.T) {
	for name, f := range map[string]func(){
		"panic": func() { panic("mine") },
		"index": func() {
			var b []byte
			n := 3
			b[n] = 1
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("swallowed")
				}
			}()
			_ = Guard(f)
		})
	}
}

func TestGuardAllocatesNothing(t *testing.T) {
	n := 0
	f := func() { n++ }
	if a := testing.AllocsPerRun(100, func() { _ = Guard(f) }); a != 0 {
		t.Errorf("%v allocations", a)
	}
}
