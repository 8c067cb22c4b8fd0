package tcp

import (
	"errors"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// sock is the source's end of one connection, with the system calls that the
// net package has no form of. One goroutine writes, one reads.
type sock struct {
	*net.TCPConn
	raw  syscall.RawConn
	bufs net.Buffers // of the write in progress

	paced int64 // what pace asked for last; a new socket has no limit

	// The arguments and results of the calls below. They live here and the
	// functions are made once, so that nothing is allocated per call.
	more    func(fd uintptr) bool
	moreBuf [][]byte
	send    func(fd uintptr) bool
	file    int
	off     int64
	left    int
	err     error
}

func newSock(c *net.TCPConn) (*sock, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &sock{TCPConn: c, raw: raw, moreBuf: make([][]byte, 1)}
	s.more = s.trySendMore
	s.send = s.trySendfile
	return s, nil
}

// writeMore sends b and tells the kernel that more follows at once, so that it
// does not go out as a small packet of its own.
func (s *sock) writeMore(b []byte) error {
	s.moreBuf[0], s.err = b, nil
	err := s.raw.Write(s.more)
	s.moreBuf[0] = nil
	if err != nil {
		return err
	}
	return s.err
}

func (s *sock) trySendMore(fd uintptr) bool {
	for len(s.moreBuf[0]) > 0 {
		n, err := unix.SendmsgBuffers(int(fd), s.moreBuf, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
		switch err {
		case nil:
			s.moreBuf[0] = s.moreBuf[0][n:]
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			s.err = os.NewSyscallError("sendmsg", err)
			return true
		}
	}
	return true
}

// writeAll sends the buffers as one. It leaves bufs as it was.
func (s *sock) writeAll(bufs [][]byte) error {
	s.bufs = bufs // consumed by WriteTo: a copy of the slice header
	_, err := s.bufs.WriteTo(s.TCPConn)
	s.bufs = nil
	return err
}

// sendfile sends n bytes of the file from offset off, by a position of its own,
// so that streams of one file do not hinder each other. It returns how many went
// out: fewer than n with no error is a file that ended. A fileError means that
// the connection is as it should be after that many bytes.
func (s *sock) sendfile(file uintptr, off int64, n int) (int, error) {
	s.file, s.off, s.left, s.err = int(file), off, n, nil
	if err := s.raw.Write(s.send); err != nil {
		return n - s.left, err
	}
	return n - s.left, s.err
}

func (s *sock) trySendfile(fd uintptr) bool {
	for s.left > 0 {
		n, err := unix.Sendfile(int(fd), s.file, &s.off, s.left)
		if n > 0 {
			s.left -= n
		}
		switch err {
		case nil:
			if n == 0 {
				return true
			}
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			if !ofSocket(err) {
				err = &fileError{err}
			} else {
				err = os.NewSyscallError("sendfile", err)
			}
			s.err = err
			return true
		}
	}
	return true
}

// fileError is an error of sendfile(2) that is about the file.
type fileError struct{ errno error }

func (e *fileError) Error() string { return "sendfile: " + e.errno.Error() }
func (e *fileError) Unwrap() error { return e.errno }

// ofSocket tells errors of the connection from those of the file. What is
// neither known counts as the file's: the copying path that is tried then fails
// too if it is the connection.
func ofSocket(err error) bool {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return true
	}
	switch errno {
	case unix.EPIPE, unix.ECONNRESET, unix.ECONNABORTED, unix.ETIMEDOUT, unix.ENOTCONN, unix.ESHUTDOWN,
		unix.EHOSTUNREACH, unix.EHOSTDOWN, unix.ENETUNREACH, unix.ENETDOWN, unix.ENETRESET, unix.ECONNREFUSED:
		return true
	}
	return false
}

const minPacing = 1 << 20

// pace asks the kernel to spread what it sends, bytesPerSecond at most; 0 lifts
// that. It only smooths: the pacer keeps the limit, over all streams. So rates
// that would hold up a chunk for long are not asked for. Calls must not be
// concurrent.
func (s *sock) pace(bytesPerSecond int64) {
	if s.paced == bytesPerSecond {
		return
	}
	s.paced = bytesPerSecond
	v := ^uint64(0)
	if bytesPerSecond > 0 {
		v = uint64(max(bytesPerSecond, minPacing))
	}
	_ = s.raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE, v)
	})
}

// abort closes the connection and drops what the kernel still holds of it.
func (s *sock) abort() {
	_ = s.SetLinger(0)
	_ = s.Close()
}
