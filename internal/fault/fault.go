// Package fault keeps the process alive where mapped memory is gone: a page of a
// memfd that its owner punched a hole into while no memory is left, or a page with
// an error of the hardware, is an error of who touched it and not the end of the
// daemon.
//
// It is not the place for memory that the kernel touches for us: system calls
// answer EFAULT.
package fault

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
)

// Err is memory that cannot be had.
var Err = errors.New("mapped memory is not there")

// Guard runs f, which touches mapped memory outside the Go heap. A fault within it
// is an error that wraps Err; other panics go on. f must leave nothing locked or
// half done that matters, since it ends where the fault is, and it must not hand
// the memory to another goroutine. It allocates nothing.
func Guard(f func()) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			err = faulted(r)
		}
	}()
	f()
	return nil
}

// faulted is the error of a panic that is a fault, and panics on with any other.
func faulted(r any) error {
	if e, ok := r.(interface {
		runtime.Error
		Addr() uintptr
	}); ok {
		return fmt.Errorf("%w: at %#x", Err, e.Addr())
	}
	panic(r)
}
