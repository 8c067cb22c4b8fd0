//go:build cgo && linux

package ibv

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// waiter parks goroutines on a descriptor of the library until it can be read.
type waiter struct {
	file   *os.File // a duplicate: the library closes its own
	raw    syscall.RawConn
	turn   chan struct{} // one goroutine reads at a time
	closed chan struct{}
	once   sync.Once
}

func newWaiter(fd int, name string) (*waiter, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("duplicate the descriptor: %w", err)
	}
	// The flag is that of the open file, so that the library's reads do not
	// block either.
	if err := unix.SetNonblock(dup, true); err != nil {
		_ = unix.Close(dup)
		return nil, err
	}
	w := &waiter{file: os.NewFile(uintptr(dup), name), turn: make(chan struct{}, 1), closed: make(chan struct{})}
	if w.raw, err = w.file.SyscallConn(); err == nil {
		err = w.file.SetReadDeadline(time.Time{}) // fails where it cannot be polled
	}
	if err != nil {
		_ = w.file.Close()
		return nil, fmt.Errorf("poll the descriptor: %w", err)
	}
	return w, nil
}

// wait calls take, at once and then whenever the descriptor can be read, until
// it returns true. It returns ctx's error, or os.ErrClosed when the waiter is
// closed.
func (w *waiter) wait(ctx context.Context, take func() bool) error {
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.closed:
		return os.ErrClosed
	}
	defer func() { <-w.turn }()
	if err := ctx.Err(); err != nil {
		return err
	}
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(fired)
		_ = w.file.SetReadDeadline(time.Unix(1, 0))
	})
	err := w.raw.Read(func(uintptr) bool { return take() })
	if !stop() {
		<-fired
		_ = w.file.SetReadDeadline(time.Time{})
	}
	if err == nil {
		return nil
	}
	select {
	case <-w.closed:
		return os.ErrClosed
	default:
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// The kernel says error and nothing else once the device was pulled out.
	return fmt.Errorf("%w: %w", syscall.EIO, err)
}

// close wakes whoever waits, and returns after the last call of take.
func (w *waiter) close() {
	w.once.Do(func() {
		close(w.closed)
		// Waits for readers; an error of close(2) means nothing here.
		_ = w.file.Close()
	})
}
