package store

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// A walk reads little at first, since it may end soon, and then more at a time.
const (
	firstScan = 8 << 10
	maxScan   = 256 << 10
)

// pread reads all of b at off.
func (l *Log) pread(b []byte, off int64) error {
	for len(b) > 0 {
		n, err := unix.Pread(int(l.f.Fd()), b, off)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return &DamagedError{Path: l.path, Offset: off, Detail: "it cannot be read", Err: err}
		case n == 0:
			return &DamagedError{Path: l.path, Offset: off, Detail: "it is cut short", Err: io.ErrUnexpectedEOF}
		}
		b, off = b[n:], off+int64(n)
	}
	return nil
}

// scanner reads frames one after the other.
type scanner struct {
	l     *Log
	off   int64 // of the next frame
	limit int64
	buf   []byte
	start int64 // offset of buf[0]
	step  int   // size of the next read
}

func newScanner(l *Log, from, limit int64) *scanner {
	return &scanner{l: l, off: from, limit: limit, start: from, step: firstScan}
}

// fill returns n bytes at off, out of the buffer or a read of at least n.
func (sc *scanner) fill(off int64, n int) ([]byte, error) {
	if at := off - sc.start; at >= 0 && at+int64(n) <= int64(len(sc.buf)) {
		return sc.buf[at : at+int64(n)], nil
	}
	want := int(min(int64(max(n, sc.step)), sc.limit-off))
	sc.step = min(2*sc.step, maxScan)
	if cap(sc.buf) < want {
		sc.buf = make([]byte, want)
	}
	sc.buf, sc.start = sc.buf[:want], off
	if err := sc.l.pread(sc.buf, off); err != nil {
		sc.buf = sc.buf[:0]
		return nil, err
	}
	return sc.buf[:n], nil
}

// frame reads the frame at off. errBadFrame is everything that is not one.
func (sc *scanner) frame(off int64) (typ uint8, payload []byte, err error) {
	if sc.limit-off < FrameOverhead {
		return 0, nil, errBadFrame
	}
	b, err := sc.fill(off, FrameOverhead)
	if err != nil {
		return 0, nil, err
	}
	h, err := parseFrameHeader(b, sc.l.salt, off)
	if err != nil {
		return 0, nil, err
	}
	if sc.limit-off-FrameOverhead < int64(h.length) {
		return 0, nil, errBadFrame
	}
	if payload, err = sc.fill(off+FrameOverhead, h.length); err != nil {
		return 0, nil, err
	}
	return h.typ, payload, h.check(payload)
}

// next returns the next frame, which is valid until the call after, or io.EOF.
// With errBadFrame it stays where it is.
func (sc *scanner) next() (typ uint8, payload []byte, off int64, err error) {
	off = sc.off
	if off >= sc.limit {
		return 0, nil, off, io.EOF
	}
	if typ, payload, err = sc.frame(off); err != nil {
		return 0, nil, off, err
	}
	sc.off = off + FrameOverhead + int64(len(payload))
	return typ, payload, off, nil
}

// resync returns the next good frame at whatever offset, or io.EOF.
func (sc *scanner) resync() (typ uint8, payload []byte, off int64, err error) {
	for ; sc.off < sc.limit; sc.off++ {
		typ, payload, off, err = sc.next()
		if !errors.Is(err, errBadFrame) {
			return typ, payload, off, err
		}
	}
	return 0, nil, sc.off, io.EOF
}

// Read calls yield for the frames from an offset that Append returned (0 for
// the first) up to the end at the time of the call. payload is valid until
// yield returns. yield may append to the log. An error of yield ends the walk
// and is returned.
func (l *Log) Read(from int64, yield func(offset int64, typ uint8, payload []byte) error) error {
	if err := l.begin(); err != nil {
		return err
	}
	defer l.life.leave()
	sc := newScanner(l, max(from, l.base), l.Size())
	for {
		typ, payload, off, err := sc.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errBadFrame):
			return damaged(l.path, off, "no good frame there")
		case err != nil:
			return err
		}
		if typ == frameMark {
			continue
		}
		if err := yield(off, typ, payload); err != nil {
			return err
		}
	}
}

// ReadAt returns the frame at an offset that Append returned. The payload is in
// buf where that is large enough. One read is enough for a frame of up to
// cap(buf) - FrameOverhead bytes.
func (l *Log) ReadAt(offset int64, buf []byte) (typ uint8, payload []byte, err error) {
	if err := l.begin(); err != nil {
		return 0, nil, err
	}
	defer l.life.leave()
	left := l.Size() - offset
	if offset < l.base || left < FrameOverhead {
		return 0, nil, fmt.Errorf("store: %s has no frame at offset %d", l.path, offset)
	}
	if cap(buf) < FrameOverhead {
		buf = make([]byte, 512)
	}
	buf = buf[:min(int64(cap(buf)), left)]
	if err := l.pread(buf, offset); err != nil {
		return 0, nil, err
	}
	h, err := parseFrameHeader(buf, l.salt, offset)
	if err != nil || h.typ == frameMark || int64(h.length) > left-FrameOverhead {
		return 0, nil, damaged(l.path, offset, "no good frame there")
	}
	n := FrameOverhead + h.length
	if n > len(buf) {
		got := len(buf)
		big := make([]byte, n)
		copy(big, buf)
		if err := l.pread(big[got:], offset+int64(got)); err != nil {
			return 0, nil, err
		}
		buf = big
	}
	payload = buf[FrameOverhead:n]
	if h.check(payload) != nil {
		return 0, nil, damaged(l.path, offset, "no good frame there")
	}
	return h.typ, payload, nil
}
