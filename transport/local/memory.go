package local

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/internal/fault"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/internal/chunkio"
)

// place moves an extent to the memory where it belongs, in one copy, and hashes it
// there while it is in the cache. What is wrong with it alone goes into a.
func (w *worker) place(ctx context.Context, e *transport.Extent, mem [][]byte, a *transport.Arrival) error {
	if err := chunkio.Fits(&e.ExtentHeader, mem); err != nil {
		a.Err = fmt.Errorf("place the extent: %w", err)
		return nil
	}
	w.hasher.Reset()
	c, at := chunkio.Walk(mem), e.Offset
	for j, seg := range e.Segments {
		if a.Err = w.hole(&c, seg.Offset-at); a.Err != nil {
			return nil
		}
		at = seg.End()
		for off := int64(0); off < seg.Length; {
			n := int64(w.o.pacer.Step(int(min(seg.Length-off, plainStep))))
			if err := w.o.pacer.Wait(ctx, n); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if a.Err = w.fill(&c, &e.Bodies[j], off, n); a.Err != nil {
				return nil
			}
			off += n
		}
	}
	if a.Err = w.hole(&c, e.End()-at); a.Err != nil || !w.verifies() {
		return nil
	}
	d := transport.Digest(w.hasher.Sum128().Bytes())
	if !e.Digest.IsZero() && e.Digest != d {
		a.Err = transport.ErrMismatch
		return nil
	}
	a.Digest = d
	return nil
}

// hole clears n bytes.
func (w *worker) hole(c *chunkio.Cursor, n int64) error {
	if n == 0 {
		return nil
	}
	if w.verifies() {
		w.hashZeros(n)
	}
	if err := c.Clear(n); err != nil {
		return fmt.Errorf("place the extent: %w", err)
	}
	return nil
}

// fill moves n bytes of a body, from off on, to the next pieces.
func (w *worker) fill(c *chunkio.Cursor, b *transport.Body, off, n int64) (bad error) {
	start := time.Now()
	from := *c
	bad = fault.Guard(func() error {
		for done := int64(0); done < n; {
			part := c.Next(n - done)
			if b.Mem != nil {
				copy(part, b.Mem[off+done:])
			} else if bad := w.readSource(b.File, part, b.FileOffset+off+done); bad != nil {
				return bad
			}
			done += int64(len(part))
		}
		return nil
	})
	w.in.stats.Placing.Since(start)
	if gone, ok := errors.AsType[*fault.Error](bad); ok && b.Mem != nil && holds(b.Mem, gone.Addr) {
		return fmt.Errorf("%w: %w", transport.ErrSourceFailed, bad)
	} else if ok || errors.Is(bad, unix.EFAULT) {
		return fmt.Errorf("place the extent: %v", bad)
	} else if bad != nil {
		return bad
	}
	w.count(&w.in.stats.Copied, n)
	if !w.verifies() {
		return nil
	}
	start = time.Now()
	bad = fault.Guard(func() error {
		for left := n; left > 0; {
			part := from.Next(left)
			_, _ = w.hasher.Write(part)
			left -= int64(len(part))
		}
		return nil
	})
	w.in.stats.Hashing.Since(start)
	if bad != nil {
		return fmt.Errorf("place the extent: %w", bad)
	}
	return nil
}

func holds(b []byte, addr uintptr) bool {
	base := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return addr >= base && addr-base < uintptr(len(b))
}
