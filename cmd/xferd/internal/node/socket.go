package node

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/region"
)

// socket shares the node's unix socket between gRPC, whose listener it is, and
// programs that attach to regions: it looks at the first byte of each connection.
type socket struct {
	net.Listener
	program func(context.Context, *net.UnixConn) // serves a program; closes the connection
	grpc    chan net.Conn
	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	start   sync.Once
	serving sync.WaitGroup

	mu     sync.Mutex
	closed bool
	failed error // of the listener
	done   chan struct{}
}

const (
	// firstByteTime bounds how long a connection may say nothing. Clients of gRPC
	// speak first.
	firstByteTime = 20 * time.Second
	acceptPause   = 50 * time.Millisecond // after an error that passes, as too many files
)

func newSocket(l net.Listener, program func(context.Context, *net.UnixConn)) *socket {
	s := &socket{Listener: l, program: program, grpc: make(chan net.Conn), done: make(chan struct{})}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Accept returns the next connection of a gRPC client.
func (s *socket) Accept() (net.Conn, error) {
	s.start.Do(func() { s.begin(s.acceptAll) })
	select {
	case c := <-s.grpc:
		return c, nil
	case <-s.done:
		s.mu.Lock()
		defer s.mu.Unlock()
		return nil, s.failed
	}
}

// begin runs f in a goroutine that Close waits for.
func (s *socket) begin(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.serving.Go(f)
	return true
}

func (s *socket) acceptAll() {
	for {
		c, err := s.Listener.Accept()
		if err == nil {
			if !s.begin(func() { s.sort(c) }) {
				_ = c.Close()
			}
			continue
		}
		if passes(err) && s.ctx.Err() == nil {
			t := time.NewTimer(acceptPause)
			select {
			case <-t.C:
			case <-s.ctx.Done():
				t.Stop()
			}
			continue
		}
		s.fail(err)
		return
	}
}

// passes reports whether accepting can succeed again later.
func passes(err error) bool {
	for _, e := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (s *socket) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = err
		close(s.done)
	}
}

// sort hands a connection to whom it is for.
func (s *socket) sort(c net.Conn) {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		_ = c.Close()
		return
	}
	quit := context.AfterFunc(s.ctx, func() { _ = uc.SetReadDeadline(time.Unix(1, 0)) })
	_ = uc.SetReadDeadline(time.Now().Add(firstByteTime))
	first, err := peek(uc)
	if !quit() || err != nil {
		_ = c.Close()
		return
	}
	_ = uc.SetReadDeadline(time.Time{})
	if first == region.Greeting[0] { // gRPC begins with "PRI "
		s.program(s.ctx, uc)
		return
	}
	select {
	case s.grpc <- c:
	case <-s.ctx.Done():
		_ = c.Close()
	case <-s.done:
		_ = c.Close()
	}
}

// peek returns the first byte of a connection, and leaves it there, with what
// descriptors came along.
func peek(c syscall.Conn) (byte, error) {
	rc, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var b [1]byte
	n, perr := 0, error(nil)
	err = rc.Read(func(fd uintptr) bool {
		for {
			n, _, perr = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
			if perr != unix.EINTR {
				return perr != unix.EAGAIN
			}
		}
	})
	switch {
	case err != nil:
		return 0, err
	case perr != nil:
		return 0, perr
	case n == 0:
		return 0, net.ErrClosed
	}
	return b[0], nil
}

// Close stops listening, ends the connections of programs and waits for that; those
// of gRPC are gRPC's. Idempotent.
func (s *socket) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	err := s.Listener.Close()
	s.fail(net.ErrClosed)
	s.serving.Wait()
	return err
}
