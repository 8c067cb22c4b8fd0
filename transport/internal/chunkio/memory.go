package chunkio

import (
	"fmt"

	"github.com/zeebo/xxh3"

	"github.com/xferd/xferd/internal/fault"
	"github.com/xferd/xferd/transport"
)

// Cursor walks over pieces of memory. The zero value is at the end.
type Cursor struct {
	mem [][]byte
	at  int // in the first of them
}

// Walk returns a cursor at the start of mem.
func Walk(mem [][]byte) Cursor { return Cursor{mem: mem} }

// Next returns the next bytes that lie together, at most n, and goes past them. At
// the end there are none.
func (c *Cursor) Next(n int64) []byte {
	for len(c.mem) > 0 {
		if rest := c.mem[0][c.at:]; len(rest) > 0 {
			part := rest[:min(n, int64(len(rest)))]
			c.at += len(part)
			return part
		}
		c.mem, c.at = c.mem[1:], 0
	}
	return nil
}

// Clear makes the next n bytes zero; see fault.Guard.
func (c *Cursor) Clear(n int64) error {
	return fault.Guard(func() error {
		for n > 0 {
			part := c.Next(n)
			clear(part)
			n -= int64(len(part))
		}
		return nil
	})
}

// Fits checks that the memory in which an extent is to land is as large as it.
func Fits(h *transport.ExtentHeader, mem [][]byte) error {
	var n int64
	for _, b := range mem {
		n += int64(len(b))
	}
	if n != h.Length {
		return fmt.Errorf("an extent of %d bytes for %d bytes of memory", h.Length, n)
	}
	return nil
}

// ClearHoles makes those parts of an extent zero, in the memory where it belongs,
// that its segments leave out.
func ClearHoles(h *transport.ExtentHeader, mem [][]byte) error {
	c, at := Walk(mem), h.Offset
	for _, s := range h.Segments {
		if err := c.Clear(s.Offset - at); err != nil {
			return err
		}
		for n := s.Length; n > 0; {
			n -= int64(len(c.Next(n)))
		}
		at = s.End()
	}
	return c.Clear(h.End() - at)
}

// Scatter copies an extent, whose segments lie back to back in data, to the memory
// where it belongs.
func Scatter(h *transport.ExtentHeader, data []byte, mem [][]byte) error {
	if err := Fits(h, mem); err != nil {
		return err
	}
	if err := ClearHoles(h, mem); err != nil {
		return err
	}
	return fault.Guard(func() error {
		c, at := Walk(mem), h.Offset
		for _, s := range h.Segments {
			for n := s.Offset - at; n > 0; {
				n -= int64(len(c.Next(n)))
			}
			for n := s.Length; n > 0; {
				k := copy(c.Next(n), data)
				data, n = data[k:], n-int64(k)
			}
			at = s.End()
		}
		return nil
	})
}

// DigestMemory returns the digest of an extent that is in memory where it belongs,
// holes included.
func DigestMemory(h *xxh3.Hasher, mem [][]byte) (transport.Digest, error) {
	h.Reset()
	err := fault.Guard(func() error {
		for _, b := range mem {
			_, _ = h.Write(b)
		}
		return nil
	})
	if err != nil {
		return transport.Digest{}, err
	}
	return h.Sum128().Bytes(), nil
}
