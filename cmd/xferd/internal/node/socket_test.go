package node

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// newSharedSocket listens in a directory of the test, and answers programs with what
// they said and how many descriptors came with it.
func newSharedSocket(t *testing.T) (*socket, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := newSocket(l, func(ctx context.Context, c *net.UnixConn) {
		defer c.Close()
		defer context.AfterFunc(ctx, func() { _ = c.Close() })()
		buf, oob := make([]byte, 100), make([]byte, 100)
		n, oobn, _, _, err := c.ReadMsgUnix(buf, oob)
		if err != nil {
			return
		}
		list, _ := unix.ParseSocketControlMessage(oob[:oobn])
		for i := range list {
			fds, _ := unix.ParseUnixRights(&list[i])
			for _, fd := range fds {
				_ = unix.Close(fd)
				_, _ = c.Write([]byte("fd "))
			}
		}
		_, _ = c.Write(buf[:n])
		_, _ = c.Read(buf) // until the end
	})
	t.Cleanup(func() { _ = s.Close() })
	return s, path
}

func TestSocketIsShared(t *testing.T) {
	s, path := newSharedSocket(t)
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			c, err := s.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() *net.UnixConn {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c.(*net.UnixConn)
	}
	dial() // says nothing, and holds nobody up
	gone := dial()
	_ = gone.Close()
	program := dial()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, _, err := program.WriteMsgUnix([]byte("XFERREG1 offer x\n"), unix.UnixRights(int(f.Fd())), nil); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(program).ReadString('\n'); err != nil || line != "fd XFERREG1 offer x\n" {
		t.Errorf("a program got %q, %v", line, err)
	}
	caller := dial()
	if _, err := caller.Write([]byte("PRI * HTTP/2.0")); err != nil {
		t.Fatal(err)
	}
	c := <-accepted
	defer c.Close()
	got := make([]byte, 14)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "PRI * HTTP/2.0" {
		t.Errorf("gRPC got %q, %v", got, err)
	}
	// The end comes to those who are attached, and to those who said nothing.
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	_ = s.Close()
	if _, err := program.Read(got); !errors.Is(err, io.EOF) {
		t.Errorf("a program was told %v", err)
	}
	if _, more := <-accepted; more {
		t.Error("a connection after the end")
	}
	if _, err := s.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after the end: %v", err)
	}
}

// One that was never used is closed as well.
func TestSocketUnused(t *testing.T) {
	s, path := newSharedSocket(t)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("unix", path); err == nil {
		t.Error("it listens still")
	}
	if _, err := s.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after the end: %v", err)
	}
}
