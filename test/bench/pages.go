package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"

	"golang.org/x/sys/unix"
)

// prepare makes the memory of the machine the same for each run that follows.
//
// In a virtual machine whose free pages go back to the host, the first touch of
// a page can cost ten times more than the copy that is to be measured, and it
// hits whoever comes first after a pause. So as many bytes as a run writes are
// touched and freed before it. And peaks of memory begin anew: a child inherits
// the peak of the process that forked it, a daemon keeps that of earlier runs.
// Source: proc(5), clear_refs and getrusage(2), ru_maxrss.
func prepare(n int64, daemons []daemon) error {
	b, err := unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err == nil {
		_ = unix.Madvise(b, unix.MADV_POPULATE_WRITE) // where there is not so much the runs are slower
		err = unix.Munmap(b)
	}
	if err != nil {
		return fmt.Errorf("touch pages: %w", err)
	}
	debug.FreeOSMemory()
	for _, p := range append([]daemon{{os.Getpid()}}, daemons...) {
		if err := os.WriteFile("/proc/"+strconv.Itoa(p.pid)+"/clear_refs", []byte("5"), 0); err != nil {
			return fmt.Errorf("peak of process %d: %w", p.pid, err)
		}
	}
	return nil
}
