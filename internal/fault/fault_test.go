package fault

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A mapping whose file was cut short is an error where it is touched, and the
// process lives.
func TestGuardTruncatedMapping(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size := os.Getpagesize()
	if err := f.Truncate(int64(size)); err != nil {
		t.Fatal(err)
	}
	b, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(b) }()
	write := func() error { b[1] = 7; return nil }
	if err := Guard(write); err != nil {
		t.Fatalf("touch of memory that is there: %v", err)
	}
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	fault, ok := errors.AsType[*Error](Guard(write))
	if !ok {
		t.Fatal("a touch of memory that is gone gave no fault")
	}
	if fault.Addr == 0 {
		t.Error("the fault has no address")
	}
	if err := Guard(func() error { _ = append([]byte(nil), b...); return nil }); err == nil {
		t.Error("a read of memory that is gone gave no fault")
	}
}

func TestGuardPassesErrorsAndOtherPanics(t *testing.T) {
	want := errors.New("own")
	if err := Guard(func() error { return want }); err != want {
		t.Errorf("error %v, want its own", err)
	}
	for name, f := range map[string]func() error{
		"of the program": func() error { panic("mine") },
		"of an index":    func() error { var s []int; _ = s[len(os.Args)]; return nil },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("the panic did not go on")
				}
			}()
			_ = Guard(f)
		})
	}
}
