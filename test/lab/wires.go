package lab

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// wires are the ends of the cables, for each machine. A cable is a pair of
// sockets that two QEMUs inherit: nothing listens, and no port can be taken.
type wires [2][]*os.File

func newWires(job Job) (wires, error) {
	var w wires
	if job.VMs == 1 {
		return w, nil
	}
	for n := range job.Links {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			w.close()
			return w, fmt.Errorf("socketpair: %w", err)
		}
		for side, fd := range fds {
			// The most that an ordinary user gets; a frozen machine fills it.
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<20)
			w[side] = append(w[side], os.NewFile(uintptr(fd), fmt.Sprintf("wire%d", n)))
		}
	}
	return w, nil
}

// close gives up our copies; the machines have their own.
func (w wires) close() {
	var errs []error
	for _, side := range w {
		for _, f := range side {
			errs = append(errs, f.Close())
		}
	}
	_ = errors.Join(errs...) // nothing was written through them
}
