package tcp

import (
	"context"
	"time"

	"github.com/xferd/xferd/internal/bufpool"
)

const (
	// block is how much of a file is read, hashed and sent in one go. It has
	// to stay in the cache between the three.
	block = 512 << 10
	// smallBlock is what a stream makes do with when the pool is used up, so
	// that it never waits for memory while it holds a chunk.
	smallBlock = 64 << 10
	// gatherMost is the number of pieces in one writev.
	gatherMost = 512
)

var zeros [64 << 10]byte

// gather collects small pieces of a chunk, so that they leave in one system
// call. Pieces are sent in order and stay where they are until flush.
type gather struct {
	pieces  [][]byte
	content int64 // bytes of them that count for the limit
	lease   *bufpool.Buffer
	buf     []byte // what lease holds, or own memory
	used    int    // of buf, by pieces
}

// borrow makes room for file content.
func (g *gather) borrow(p *bufpool.Pool) {
	var ok bool
	if g.lease, ok = p.TryGet(block); ok {
		g.buf = g.lease.Bytes()
	} else if g.lease, ok = p.TryGet(smallBlock); ok {
		g.buf = g.lease.Bytes()
	} else {
		g.buf = make([]byte, smallBlock)
	}
}

// reset drops everything, the memory too.
func (g *gather) reset() {
	clear(g.pieces)
	g.pieces, g.content, g.used, g.buf = g.pieces[:0], 0, 0, nil
	if g.lease != nil {
		g.lease.Release()
		g.lease = nil
	}
}

// room returns n free bytes of buf, or nil when it is too full.
func (g *gather) room(n int) []byte {
	if len(g.buf)-g.used < n {
		return nil
	}
	return g.buf[g.used : g.used+n]
}

// meta adds bytes of the protocol.
func (s *stream) meta(b []byte) { s.out.pieces = append(s.out.pieces, b) }

// content adds bytes of an extent.
func (s *stream) content(ctx context.Context, b []byte) error {
	for len(b) > 0 {
		n := s.pacing(len(b))
		s.out.pieces = append(s.out.pieces, b[:n])
		s.out.content += int64(n)
		b = b[n:]
		if len(s.out.pieces) >= gatherMost || s.out.content >= int64(s.pacing(block)) {
			if err := s.flush(ctx, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// padding adds n zero bytes in place of content that is not there.
func (s *stream) padding(ctx context.Context, n int64) error {
	for n > 0 {
		part := min(n, int64(len(zeros)))
		if err := s.content(ctx, zeros[:part]); err != nil {
			return err
		}
		n -= part
	}
	return nil
}

// pacing bounds a step by the limit of the edge.
func (s *stream) pacing(n int) int {
	if s.prepaid {
		return n
	}
	return s.o.pacer.Step(n)
}

// pay waits until n bytes of content may go. Where that would take so long that
// the target had to think the stream is stuck, since the limit was lowered or is
// shared by many, the rest of the chunk goes on credit.
func (s *stream) pay(ctx context.Context, n int64) error {
	if s.prepaid || s.o.pacer.Rate() == 0 {
		return nil
	}
	short, cancel := context.WithTimeout(ctx, s.o.t.cfg.Limits.Stall/4)
	defer cancel()
	err := s.o.pacer.Wait(short, n)
	if err != nil && ctx.Err() == nil {
		s.prepaid = true
		return nil
	}
	return err
}

// flush sends what was gathered. With more, other bytes follow at once.
func (s *stream) flush(ctx context.Context, more bool) error {
	g := &s.out
	if len(g.pieces) == 0 {
		return nil
	}
	if err := s.pay(ctx, g.content); err != nil {
		return err
	}
	start := time.Now()
	var err error
	if more && len(g.pieces) == 1 {
		err = s.sock.writeMore(g.pieces[0])
	} else {
		err = s.sock.writeAll(g.pieces)
	}
	s.o.stats.Wiring.Since(start)
	s.o.stats.Copied.Add(g.content)
	s.o.stats.Bytes.Add(g.content)
	clear(g.pieces)
	g.pieces, g.content = g.pieces[:0], 0
	return err
}
