package tcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/xferd/xferd/internal/fault"
	"github.com/xferd/xferd/internal/wire"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/internal/chunkio"
)

// sendfileMin is the length of a file segment from which on it goes by
// sendfile. Below, one copy costs less than the extra system calls.
const sendfileMin = 256 << 10

// prepare builds the frame of a chunk, and thereby checks it.
func (s *stream) prepare(c *transport.Chunk) (err error) {
	s.files = hasFile(c)
	s.head, s.total, err = s.framer.Append(s.head[:0], c, s.o.opt.Verify, s.o.opt.ChunkSize)
	return err
}

func hasFile(c *transport.Chunk) bool {
	for i := range c.Extents {
		for j := range c.Extents[i].Bodies {
			if c.Extents[i].Bodies[j].File != nil {
				return true
			}
		}
	}
	return false
}

// sendChunk sends the chunk that was prepared: header, bodies, trailer. Errors
// of the source become seals; an error returned is one of the stream.
func (s *stream) sendChunk(ctx context.Context, sl *slot) error {
	s.prepaid = false
	if s.o.pacer.Crawls(len(s.o.grant.Tokens)) {
		if err := s.o.pacer.Wait(ctx, s.total); err != nil {
			return err
		}
		s.prepaid = true
	}
	if s.files {
		s.out.borrow(s.o.t.cfg.Pool)
	}
	defer s.out.reset()
	s.meta(s.head)
	for i := range sl.chunk.Extents {
		if err := s.extent(ctx, sl, i); err != nil {
			return err
		}
	}
	s.tail = wire.AppendTrailer(s.tail[:0], sl.chunk.Seq, sl.seals)
	s.meta(s.tail)
	if err := s.flush(ctx, false); err != nil {
		return err
	}
	s.o.stats.Chunks.Add(1)
	return nil
}

// extent sends the segments of one extent and seals it.
func (s *stream) extent(ctx context.Context, sl *slot, i int) error {
	e, seal := &sl.chunk.Extents[i], &sl.seals[i]
	hash := s.o.opt.Verify && e.Digest.IsZero()
	if hash {
		s.hasher.Reset()
	}
	at := e.Offset
	for j, seg := range e.Segments {
		if hash {
			s.hashZeros(seg.Offset - at)
		}
		at = seg.End()
		if seal.State != wire.Sound {
			if err := s.padding(ctx, seg.Length); err != nil {
				return err
			}
			continue
		}
		left, bad, err := s.segment(ctx, &e.Bodies[j], seg.Length, hash)
		if err != nil {
			return err
		}
		if bad == nil {
			continue
		}
		seal.State, sl.errs[i] = wire.SourceBad, bad
		if errors.Is(bad, transport.ErrSourceShort) {
			seal.State = wire.SourceShort
		}
		if err := s.padding(ctx, left); err != nil {
			return err
		}
	}
	switch {
	case !s.o.opt.Verify || seal.State != wire.Sound:
	case hash:
		s.hashZeros(e.End() - at)
		seal.Digest = s.hasher.Sum128().Bytes()
	default:
		seal.Digest = e.Digest
	}
	return nil
}

// segment sends n bytes of a body. Where the source fails it returns why, and
// how many bytes are still owed to the wire.
func (s *stream) segment(ctx context.Context, b *transport.Body, n int64, hash bool) (left int64, bad, err error) {
	switch {
	case b.File == nil:
		if hash {
			if bad := s.digest(b.Mem); bad != nil {
				return n, bad, nil
			}
		}
		return 0, nil, s.content(ctx, b.Mem)
	case n >= sendfileMin || n > int64(len(s.out.buf)):
		return s.large(ctx, b, n, hash)
	}
	buf := s.out.room(int(n))
	if buf == nil {
		if err := s.flush(ctx, false); err != nil {
			return n, nil, err
		}
		s.out.used = 0
		buf = s.out.room(int(n))
	}
	if b.Mem != nil { // a copy costs less than a system call
		if err := fault.Guard(func() error { copy(buf, b.Mem); return nil }); err != nil {
			return n, sourceFailed(err), nil
		}
	} else if bad := s.read(b.File, buf, b.FileOffset); bad != nil {
		return n, bad, nil
	}
	if hash {
		if bad := s.digest(buf); bad != nil {
			return n, bad, nil
		}
	}
	s.out.used += len(buf)
	return 0, nil, s.content(ctx, buf)
}

// large sends n bytes of a file, block by block: read and hash, then sendfile of
// the same range while the pages are in the cache.
func (s *stream) large(ctx context.Context, b *transport.Body, n int64, hash bool) (left int64, bad, err error) {
	if err := s.flush(ctx, true); err != nil {
		return n, nil, err
	}
	s.out.used = 0
	raw, err := b.File.SyscallConn()
	if err != nil {
		return n, sourceFailed(err), nil
	}
	left = n
	// The descriptor is held for the whole segment, so that it cannot become
	// another file's.
	hold := raw.Control(func(fd uintptr) {
		off, plain := b.FileOffset, false
		for left > 0 && bad == nil && err == nil {
			step := s.pacing(int(min(left, int64(len(s.out.buf)))))
			var sent int
			sent, bad, err = s.block(ctx, b, fd, off, s.out.buf[:step], hash, &plain)
			off += int64(sent)
			left -= int64(sent)
		}
	})
	if hold != nil {
		bad = sourceFailed(hold)
	}
	return left, bad, err
}

// block sends len(buf) bytes at off of the file and returns how many went out.
// Where the file does not support sendfile it sets plain and sends a copy. What is
// in memory too is hashed there.
func (s *stream) block(ctx context.Context, b *transport.Body, fd uintptr, off int64, buf []byte, hash bool, plain *bool) (sent int, bad, err error) {
	f, have := b.File, false // buf has the bytes
	if hash {
		of := buf
		if b.Mem != nil {
			of = b.Mem[off-b.FileOffset:][:len(buf)]
		} else if bad := s.read(f, buf, off); bad != nil {
			return 0, bad, nil
		} else {
			have = true
		}
		if bad := s.digest(of); bad != nil {
			return 0, bad, nil
		}
	}
	if err := s.pay(ctx, int64(len(buf))); err != nil {
		return 0, nil, err
	}
	if !*plain {
		start := time.Now()
		sent, err = s.sock.sendfile(fd, off, len(buf))
		s.o.stats.Wiring.Since(start)
		s.o.stats.Sendfile.Add(int64(sent))
		s.o.stats.Bytes.Add(int64(sent))
		var fe *fileError
		if err == nil && sent < len(buf) {
			return sent, transport.ErrSourceShort, nil
		} else if err == nil || !errors.As(err, &fe) {
			return sent, nil, err
		}
		*plain = true
	}
	rest := buf[sent:]
	if !have {
		if bad := s.read(f, rest, off+int64(sent)); bad != nil {
			return sent, bad, nil
		}
	}
	start := time.Now()
	n, err := s.sock.Write(rest)
	s.o.stats.Wiring.Since(start)
	s.o.stats.Copied.Add(int64(n))
	s.o.stats.Bytes.Add(int64(n))
	return sent + n, nil, err
}

// read fills b from the file. It returns why the source is of no use, if so.
func (s *stream) read(f *os.File, b []byte, off int64) (bad error) {
	start := time.Now()
	_, err := f.ReadAt(b, off)
	s.o.stats.Reading.Since(start)
	switch err {
	case nil:
		return nil
	case io.EOF:
		return transport.ErrSourceShort
	}
	return sourceFailed(err)
}

func sourceFailed(err error) error {
	return fmt.Errorf("%w: %w", transport.ErrSourceFailed, err)
}

// digest adds to the digest of an extent. It returns why the source is of no use,
// if so: b may be memory that is gone.
func (s *stream) digest(b []byte) (bad error) {
	start := time.Now()
	err := fault.Guard(func() error { _, _ = s.hasher.Write(b); return nil })
	s.o.stats.Hashing.Since(start)
	if err != nil {
		return sourceFailed(err)
	}
	return nil
}

func (s *stream) hashZeros(n int64) {
	if n <= 0 {
		return
	}
	start := time.Now()
	chunkio.WriteZeros(&s.hasher, n)
	s.o.stats.Hashing.Since(start)
}
