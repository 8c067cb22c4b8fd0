package rdma_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/rdma"
)

// TestRealKindsOfMemory registers memory of several kinds for writing by a peer.
func TestRealKindsOfMemory(t *testing.T) {
	const size = 1 << 20
	d := realDevice(t)
	pd, err := d.AllocProtectionDomain()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pd.Close(); err != nil {
			t.Error(err)
		}
	})
	memfd, err := unix.MemfdCreate("kinds", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(memfd) })
	if err := unix.Ftruncate(memfd, size); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(uintptr(memfd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK); err != nil {
		t.Fatal(err)
	}
	f, err := os.CreateTemp("/dev/shm", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if err := errors.Join(os.Remove(f.Name()), f.Truncate(size)); err != nil {
		t.Fatal(err)
	}
	const rw = unix.PROT_READ | unix.PROT_WRITE
	for _, tt := range []struct {
		name        string
		fd          int
		prot, flags int
		ok          bool
	}{
		{"anonymous", -1, rw, unix.MAP_PRIVATE | unix.MAP_ANON, true},
		{"anonymous, shared", -1, rw, unix.MAP_SHARED | unix.MAP_ANON, true},
		{"sealed memfd", memfd, rw, unix.MAP_SHARED, true},
		{"tmpfs", int(f.Fd()), rw, unix.MAP_SHARED, true},
		{"read-only", memfd, unix.PROT_READ, unix.MAP_SHARED, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mem, err := unix.Mmap(tt.fd, 0, size, tt.prot, tt.flags)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Munmap(mem)
			m, err := pd.Register(mem, rdma.LocalWrite|rdma.RemoteWrite)
			if err == nil {
				defer m.Close()
			}
			switch {
			case tt.ok && err != nil:
				t.Error(err)
			case !tt.ok && !errors.Is(err, syscall.EFAULT):
				t.Errorf("%v, want %v", err, syscall.EFAULT)
			}
		})
	}
}

// TestRealProgramsAreStarted writes while programs are started all the time: a
// child must never have a page in the place of which the device writes another.
func TestRealProgramsAreStarted(t *testing.T) {
	source, target := realPair(t)
	peer := target.address()
	stop := make(chan struct{})
	var storm sync.WaitGroup
	defer storm.Wait()
	defer close(stop)
	for range 2 {
		storm.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := exec.Command("/bin/true").Run(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for round := range 50 {
		for i := range source.memory {
			source.memory[i] = byte(i*3 + round)
		}
		if n, err := source.qp.PostSend([]rdma.SendRequest{source.write(uint64(round), peer, 0, len(source.memory), rdma.Signaled)}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		wc, err := source.next(soon(t))
		if err != nil || wc.Err() != nil {
			t.Fatal(wc, err)
		}
		if !bytes.Equal(source.memory, target.memory) {
			t.Fatalf("round %d: the bytes differ", round)
		}
	}
}
