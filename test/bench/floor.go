package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"

	"github.com/zeebo/xxh3"
	"golang.org/x/sys/unix"
)

// The floor is the least that a copy over TCP can be: one stream, sendfile at
// the source, recv and pwrite at the target; with digests each end also hashes
// what it moves. It checks nothing, keeps nothing and ends with the last byte.
const floorBlock = 1 << 20

func floorMain(args []string) error {
	if len(args) != 4 {
		return errors.New("usage: bench floor send|recv FILE ADDRESS true|false")
	}
	digest, err := strconv.ParseBool(args[3])
	if err != nil {
		return err
	}
	if args[0] == "send" {
		return floorSend(args[1], args[2], digest)
	}
	return floorReceive(args[1], args[2], digest)
}

func floorSend(path, addr string, digest bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	rc, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	buf, h := make([]byte, floorBlock), xxh3.New()
	fd := int(f.Fd())
	for off := int64(0); off < st.Size(); {
		n := int(min(floorBlock, st.Size()-off))
		if digest {
			if n, err = unix.Pread(fd, buf[:n], off); err != nil {
				return err
			}
			_, _ = h.Write(buf[:n])
		}
		for end := off + int64(n); off < end; {
			var sendErr error
			err := rc.Write(func(sock uintptr) bool {
				_, sendErr = unix.Sendfile(int(sock), fd, &off, int(end-off))
				return sendErr != unix.EAGAIN
			})
			if err == nil && sendErr != nil {
				err = sendErr
			}
			if err != nil {
				return err
			}
		}
	}
	if digest {
		sum := h.Sum128().Bytes()
		_, err = c.Write(sum[:])
	}
	return err
}

func floorReceive(path, addr string, digest bool) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Println(l.Addr())
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	buf, h := make([]byte, floorBlock), xxh3.New()
	for off := int64(0); ; {
		n, err := io.ReadFull(c, buf)
		if digest && n < len(buf) { // the digest came last
			n -= 16
			if n < 0 {
				return errors.New("no digest at the end")
			}
		}
		if digest {
			_, _ = h.Write(buf[:n])
		}
		if _, werr := f.WriteAt(buf[:n], off); werr != nil {
			return werr
		}
		off += int64(n)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			if digest && [16]byte(buf[n:n+16]) != h.Sum128().Bytes() {
				return errors.New("digests differ")
			}
			return nil
		case err != nil:
			return err
		}
	}
}
