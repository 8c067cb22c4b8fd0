package tcp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/internal/fault"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/internal/chunkio"
)

// scatterMost is the number of pieces in one readv.
const scatterMost = 1024

// scatter reads from a connection into pieces of memory, with no buffer between.
// One goroutine uses it. Arguments and results of the system call live here and
// the function is made once, so that nothing is allocated for a call.
type scatter struct {
	raw    syscall.RawConn
	try    func(fd uintptr) bool
	pieces [][]byte
	room   []unix.Iovec // of vector
	vector []unix.Iovec // what is left to be read
	least  int          // to be read before the goroutine looks up
	got    int
	err    error
}

func (s *scatter) open(c *net.TCPConn) (err error) {
	s.try = s.readv
	s.raw, err = c.SyscallConn()
	return err
}

// gather takes the next pieces from a cursor, n bytes at the most.
func (s *scatter) gather(c *chunkio.Cursor, n int64) {
	s.pieces, s.room = s.pieces[:0], s.room[:0]
	total := int64(0)
	for total < n && len(s.pieces) < scatterMost {
		b := c.Next(n - total)
		if len(b) == 0 {
			break
		}
		total += int64(len(b))
		s.pieces = append(s.pieces, b)
		v := unix.Iovec{Base: &b[0]}
		v.SetLen(len(b))
		s.room = append(s.room, v)
	}
	s.vector = s.room
}

// skip drops n bytes from the front of the vector.
func (s *scatter) skip(n int) {
	for n > 0 {
		v := &s.vector[0]
		if part := int(v.Len); part <= n {
			n -= part
			s.vector = s.vector[1:]
			continue
		}
		v.Base = (*byte)(unsafe.Add(unsafe.Pointer(v.Base), n))
		v.SetLen(int(v.Len) - n)
		n = 0
	}
}

// readv is called until it says that it is done, and whenever there is something
// to be read.
func (s *scatter) readv(fd uintptr) bool {
	for s.got < s.least && len(s.vector) > 0 {
		n, _, errno := unix.Syscall(unix.SYS_READV, fd, uintptr(unsafe.Pointer(unsafe.SliceData(s.vector))), uintptr(len(s.vector)))
		switch {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN:
			return false
		case errno != 0:
			s.err = os.NewSyscallError("readv", errno)
			return true
		case n == 0:
			s.err = io.ErrUnexpectedEOF
			return true
		default:
			s.got += int(n)
			s.skip(int(n))
		}
	}
	return true
}

// errNoMemory: the memory where an extent belongs cannot be written.
var errNoMemory = errors.New("the memory of the extent cannot be written")

// fillPieces reads what was gathered, of which the source owes every byte. done is
// how much of it was read. Memory that is gone is errNoMemory; the connection is as
// it should be then, after that many bytes.
func (r *receiver) fillPieces() (done int64, err error) {
	s := &r.into
	for len(s.vector) > 0 {
		if err := r.conn.SetReadDeadline(time.Now().Add(r.in.t.cfg.Limits.Stall)); err != nil {
			return done, err
		}
		s.got, s.least, s.err = 0, minProgress, nil
		err := s.raw.Read(s.try)
		done += int64(s.got)
		r.took(int64(s.got))
		if err == nil {
			err = s.err
		}
		switch {
		case errors.Is(err, unix.EFAULT):
			return done, fmt.Errorf("%w: %w", errNoMemory, err)
		case err != nil:
			return done, fmt.Errorf("source stalled or went away within a chunk: %w", err)
		}
	}
	return done, nil
}

// place takes the bytes of an extent straight to the memory where they belong, and
// hashes them there while they are in the cache. What is wrong with the extent
// alone goes into a; an error returned is one of the stream.
func (r *receiver) place(a *transport.Arrival, mem [][]byte) error {
	if err := chunkio.Fits(&a.ExtentHeader, mem); err != nil {
		return r.waste(a, err, a.DataLength())
	}
	hash := r.in.opt.Verify
	r.hasher.Reset()
	c, at, owed := chunkio.Walk(mem), a.Offset, a.DataLength()
	for _, seg := range a.Segments {
		if err := r.hole(&c, seg.Offset-at, hash); err != nil {
			return r.waste(a, err, owed)
		}
		at = seg.End()
		for left := seg.Length; left > 0; {
			n, bad, err := r.pieces(&c, min(left, block), hash)
			owed, left = owed-n, left-n
			if err != nil {
				return err
			}
			if bad != nil {
				return r.waste(a, bad, owed)
			}
		}
	}
	if err := r.hole(&c, a.End()-at, hash); err != nil {
		return r.waste(a, err, 0)
	}
	if hash {
		a.Digest = r.hasher.Sum128().Bytes()
	}
	return nil
}

// hole clears n bytes.
func (r *receiver) hole(c *chunkio.Cursor, n int64, hash bool) error {
	if n == 0 {
		return nil
	}
	if hash {
		start := time.Now()
		chunkio.WriteZeros(&r.hasher, n)
		r.in.stats.Hashing.Since(start)
	}
	return c.Clear(n)
}

// pieces reads up to most bytes of the body to the next pieces. bad says why they
// cannot be there.
func (r *receiver) pieces(c *chunkio.Cursor, most int64, hash bool) (n int64, bad, err error) {
	s := &r.into
	s.gather(c, most)
	if len(r.have) > 0 { // read ahead for a file before
		if bad = fault.Guard(func() error { n = r.ahead(); return nil }); bad != nil {
			return n, bad, nil
		}
	}
	start := time.Now()
	done, err := r.fillPieces()
	r.in.stats.Wiring.Since(start)
	n += done
	switch {
	case errors.Is(err, errNoMemory):
		return n, err, nil
	case err != nil || !hash:
		return n, nil, err
	}
	start = time.Now()
	bad = fault.Guard(func() error {
		for _, b := range s.pieces {
			_, _ = r.hasher.Write(b)
		}
		return nil
	})
	r.in.stats.Hashing.Since(start)
	return n, bad, nil
}

// ahead copies to the pieces what was read already.
func (r *receiver) ahead() (n int64) {
	for _, b := range r.into.pieces {
		k := copy(b, r.have)
		r.have = r.have[k:]
		n += int64(k)
		if k < len(b) {
			break
		}
	}
	r.into.skip(int(n))
	return n
}

// waste refuses an extent and takes the n bytes of it that the source still sends.
func (r *receiver) waste(a *transport.Arrival, why error, n int64) error {
	a.Code, a.Err = transport.Refused, fmt.Errorf("place the extent: %w", why)
	for n > 0 {
		part, err := r.next(n)
		if err != nil {
			return err
		}
		n -= int64(len(part))
	}
	return nil
}
