package rdma

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed: the object was closed.
	ErrClosed = errors.New("rdma: closed")
	// ErrBusy: Close while children live.
	ErrBusy = errors.New("rdma: still in use")
	// ErrState: a queue pair cannot do that in its state.
	ErrState = errors.New("rdma: not possible in this state of the queue pair")
)

// Reason why there is no RDMA.
type Reason string

// Reasons that an [UnavailableError] can have.
const (
	NoCgo        Reason = "NO_CGO"     // built without cgo, or without headers
	NoLibrary    Reason = "NO_LIBRARY" // libibverbs cannot be loaded
	NoKernel     Reason = "NO_KERNEL_SUPPORT"
	NoDevice     Reason = "NO_DEVICE"
	NoPermission Reason = "NO_PERMISSION" // for the device files
)

// UnavailableError says why a machine has no RDMA. It is a normal state.
type UnavailableError struct {
	Reason Reason
	Err    error
	Hint   string // what to do to have it; may be empty
}

func (e *UnavailableError) Error() string {
	text := "no RDMA: " + string(e.Reason)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return text
}

func (e *UnavailableError) Unwrap() error { return e.Err }

// Error is a verb that failed.
type Error struct {
	Verb   string // such as ibv_reg_mr
	Device string
	Err    error // usually an errno
	Hint   string
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %s: %v", e.Device, e.Verb, e.Err)
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }
