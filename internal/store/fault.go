package store

import (
	"fmt"
	"runtime/debug"
)

// guard runs fn, which works on the memory map of path. bbolt panics on what it
// does not expect, and a map whose file is shorter than it should be, or whose
// disk fails, raises SIGBUS: both become a DamagedError here. The setting is
// per goroutine, so fn must not read the map in another one.
func guard(path string, fn func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			cause, ok := r.(error)
			if !ok {
				cause = fmt.Errorf("%v", r)
			}
			err = &DamagedError{Path: path, Offset: -1, Detail: "reading the database", Err: cause, panicked: true}
		}
	}()
	return fn()
}
