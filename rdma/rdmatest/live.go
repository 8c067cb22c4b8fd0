package rdmatest

import (
	"syscall"
	"testing"

	"github.com/xferd/xferd/rdma"
)

// CheckLive fails the test if something of the system is open at its end. Call
// it before whatever closes things by t.Cleanup: the last that was asked for is
// done first.
func CheckLive(t testing.TB, sys *rdma.System) {
	t.Helper()
	t.Cleanup(func() {
		if live := sys.Live(); len(live) > 0 {
			t.Errorf("RDMA objects left open: %q", live)
		}
	})
}

// Memory returns n bytes of memory as drivers want them: of its own pages, away
// from the heap. It is given back at the end of the test; call it before
// whatever closes regions of it by t.Cleanup.
func Memory(t testing.TB, n int) []byte {
	t.Helper()
	mem, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Munmap(mem); err != nil {
			t.Error(err)
		}
	})
	return mem
}
