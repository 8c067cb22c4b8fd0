// Package exit has the exit codes of xferctl, which are a contract with
// scripts, and the rule by which several failures become one code. What code a
// single reason has stands in the API's table, not here.
package exit

import (
	"errors"
	"fmt"
	"slices"
)

// The codes. 128+n stands for signal n.
const (
	OK          = 0
	Failed      = 1
	Usage       = 2
	NotFound    = 3 // source or transfer
	Destination = 4
	Partial     = 5
	Source      = 6 // changed or vanished
	Verify      = 7
	Space       = 8
	Deadline    = 9
	Unavailable = 10 // node or daemon, or a limit that passes: try again
	Permission  = 11
	MaxDelete   = 12
	Cancelled   = 13 // by someone else
	RDMA        = 14 // asked for and not there
	WaitTimeout = 75
	Hangup      = 128 + 1
	Interrupt   = 128 + 2
	Pipe        = 128 + 13
	Terminate   = 128 + 15
)

// precedence is for several failures in one transfer.
var precedence = []int{Verify, Space, Permission, Destination, Source, Partial}

// Worst returns the code for a transfer of which these failed, by the table of
// precedence. Codes that are not in it count as Partial. None gives OK.
func Worst(codes ...int) int {
	worst := OK
	for _, c := range codes {
		if c == OK {
			continue
		}
		if !slices.Contains(precedence, c) {
			c = Partial
		}
		if worst == OK || slices.Index(precedence, c) < slices.Index(precedence, worst) {
			worst = c
		}
	}
	return worst
}

// Error is an error with the code that the program ends with. An Err of nil
// means that all that there is to say was said.
type Error struct {
	Code int
	Err  error
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// With gives err a code; nil stays nil.
func With(code int, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Code: code, Err: err}
}

// Usagef returns a usage error.
func Usagef(format string, args ...any) error {
	return &Error{Code: Usage, Err: fmt.Errorf(format, args...)}
}

// Silent returns an error that prints nothing; nil for code 0.
func Silent(code int) error {
	if code == OK {
		return nil
	}
	return &Error{Code: code}
}

// CodeOf returns the code that err carries: OK for nil, and Failed for an error
// without one, so that an error printed never ends in exit 0.
func CodeOf(err error) int {
	if err == nil {
		return OK
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Code != OK {
		return e.Code
	}
	return Failed
}
