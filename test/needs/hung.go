package needs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Hung is a file system that stops to answer, as one does whose server is away. It is
// empty, and what makes or looks up anything in x
type Hung struct {
	fd      int
	dev     *os.File      // of fd
	waiting chan struct{} // has room for one: somebody waits
	served  chan struct{}

	mu   sync.Mutex
	hang bool
	owed []uint64 // requests that wait
}

// HungAt mounts one on a directory that is there. It ends with the test.
func HungAt(t testing.TB, dir string) *Hung {
	t.Helper()
	Root(t)
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		Missing(t, "no FUSE: %v", err)
	}
	h := &Hung{fd: fd, waiting: make(chan struct{}, 1), served: make(chan struct{})}
	if err := unix.Mount("hung", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40755,user_id=0,group_id=0,allow_other", fd)); err != nil {
		_ = unix.Close(fd)
		Missing(t, "FUSE cannot be mounted: %v", err)
	}
	h.dev = os.NewFile(uintptr(fd), "fuse") // it can be waited for since the mount
	go h.serve()
	// A test that is stuck by it could not even be killed: this process serves it.
	bound := time.AfterFunc(time.Minute, h.Release)
	t.Cleanup(func() {
		bound.Stop()
		h.Release()
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		// Other namespaces of mounts may have it still: without its other end it is gone.
		h.dev.Close()
		<-h.served
	})
	// The first answer is for the kernel itself.
	if _, err := os.Stat(dir); err != nil {
		t.Fatal(err)
	}
	return h
}

// Hang stops the answers.
func (h *Hung) Hang() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hang = true
}

// Release fails what waits, and answers from then on.
func (h *Hung) Release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hang = false
	for _, unique := range h.owed {
		h.answer(unique, unix.EIO, nil)
	}
	h.owed = nil
}

// Waiting is ready when somebody waits for an answer that does not come.
func (h *Hung) Waiting() <-chan struct{} { return h.waiting }

// The requests of the kernel that have an answer of their own; see linux/fuse.h.
const (
	opLookup    = 1
	opForget    = 2
	opGetattr   = 3
	opStatfs    = 17
	opInit      = 26
	opOpendir   = 27
	opReaddir   = 28
	opReleases  = 29
	opInterrupt = 36
	opDestroy   = 38
	opForgets   = 42
)

func (h *Hung) serve() {
	defer close(h.served)
	buf := make([]byte, 1<<20)
	for {
		n, err := h.dev.Read(buf)
		switch {
		case errors.Is(err, unix.ENOENT): // it was taken back
			continue
		case err != nil || n < 40:
			return // unmounted, or closed
		}
		h.handle(binary.NativeEndian.Uint32(buf[4:]), binary.NativeEndian.Uint64(buf[8:]))
	}
}

func (h *Hung) handle(op uint32, unique uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch op {
	case opForget, opForgets, opInterrupt:
		return // without an answer
	}
	if h.hang {
		h.owed = append(h.owed, unique)
		select {
		case h.waiting <- struct{}{}:
		default:
		}
		return
	}
	e := binary.NativeEndian
	switch op {
	case opInit:
		out := make([]byte, 64)
		e.PutUint32(out, 7)
		e.PutUint32(out[4:], 31)
		e.PutUint32(out[20:], 64<<10) // at most in one write
		h.answer(unique, 0, out)
	case opGetattr: // of the root, which is all there is
		out := make([]byte, 104)
		e.PutUint64(out[16:], 1)
		e.PutUint32(out[76:], unix.S_IFDIR|0o755)
		e.PutUint32(out[80:], 2)
		h.answer(unique, 0, out)
	case opStatfs:
		out := make([]byte, 80)
		for _, at := range []int{0, 8, 16, 24, 32} { // blocks and inodes
			e.PutUint64(out[at:], 1<<20)
		}
		e.PutUint32(out[40:], 4096)
		e.PutUint32(out[44:], 255)
		e.PutUint32(out[48:], 4096)
		h.answer(unique, 0, out)
	case opOpendir:
		h.answer(unique, 0, make([]byte, 16))
	case opReaddir, opReleases, opDestroy:
		h.answer(unique, 0, nil)
	case opLookup:
		h.answer(unique, unix.ENOENT, nil)
	default:
		h.answer(unique, unix.ENOSYS, nil)
	}
}

func (h *Hung) answer(unique uint64, errno unix.Errno, body []byte) {
	out := make([]byte, 16, 16+len(body))
	binary.NativeEndian.PutUint32(out, uint32(16+len(body)))
	binary.NativeEndian.PutUint32(out[4:], uint32(-int32(errno)))
	binary.NativeEndian.PutUint64(out[8:], unique)
	_, _ = unix.Write(h.fd, append(out, body...)) // ENOENT: nobody waits any more
}
