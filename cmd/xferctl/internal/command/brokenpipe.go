//go:build !plan9

package command

import (
	"errors"
	"syscall"
)

// brokenPipe reports whether the reader of a stream went away.
func brokenPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
