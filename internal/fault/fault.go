// Package fault turns a fault of mapped memory into an error. A mapping of a file
// that became shorter, or whose page can not be had any more (a hole that was
// punched, and no memory left), raises SIGBUS where it is touched; without care
// that ends the process.
package fault

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Error is a fault of memory.
type Error struct {
	Addr uintptr // where, 0 if the system did not say
}

func (e *Error) Error() string {
	return fmt.Sprintf("memory at %#x can not be had: the file behind it is shorter, or there is no memory left", e.Addr)
}

// Guard runs fn, which touches mapped memory, and returns its error, or an *Error
// when a touch faulted: fn was left in its middle then, as by a panic. It counts for
// the calling goroutine alone: fn must not touch the memory in another one. Other
// panics go on. System calls that are given the memory answer EFAULT instead.
func Guard(fn func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		r := recover()
		if r == nil {
			return
		}
		re, ok := r.(runtime.Error)
		if !ok {
			panic(r)
		}
		a, ok := re.(interface{ Addr() uintptr })
		if !ok {
			panic(r)
		}
		err = &Error{Addr: a.Addr()}
	}()
	return fn()
}
