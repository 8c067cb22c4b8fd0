package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/transport"
)

const (
	// step is what the kernel copies in one call, so that an edge ends soon when
	// it is told to.
	step = 4 << 20
	// plainStep is what goes through a buffer at a time.
	plainStep = 512 << 10
	// cloneUnit is the alignment that file systems with reflinks ask for at
	// least.
	cloneUnit = 4096
)

// means is what was found out about the file systems of an edge.
type means struct {
	noClone, noCopy atomic.Bool
	cloned          atomic.Bool // it worked at least once
}

// copyFile moves n bytes from one file to another, by the best means there is.
// bad says what is wrong with this range alone; err ends the session.
func (w *worker) copyFile(ctx context.Context, src *os.File, from int64, dst *os.File, to, n int64) (bad, err error) {
	rs, err := src.SyscallConn()
	if err != nil {
		return fmt.Errorf("%w: %w", transport.ErrSourceFailed, err), nil
	}
	rd, err := dst.SyscallConn()
	if err != nil {
		return fmt.Errorf("place the extent: %w", err), nil
	}
	done := int64(0)
	var inner error
	// Both descriptors are held, so that neither can become another file's.
	hold := rs.Control(func(sfd uintptr) {
		inner = rd.Control(func(dfd uintptr) {
			done, err = w.kernelCopy(ctx, int(sfd), from, int(dfd), to, n)
		})
	})
	switch {
	case err != nil:
		return nil, err
	case hold != nil:
		return fmt.Errorf("%w: %w", transport.ErrSourceFailed, hold), nil
	case inner != nil:
		return fmt.Errorf("place the extent: %w", inner), nil
	case done == n:
		return nil, nil
	}
	// What the kernel did not do, and what it would not say why of.
	return w.plainCopy(ctx, src, from+done, dst, to+done, n-done)
}

// kernelCopy returns how much it moved. It is no error to have moved less.
func (w *worker) kernelCopy(ctx context.Context, sfd int, from int64, dfd int, to, n int64) (done int64, err error) {
	for done < n {
		if err := ctx.Err(); err != nil {
			return done, err
		}
		part := int64(w.o.pacer.Step(int(min(n-done, step))))
		if err := w.o.pacer.Wait(ctx, part); err != nil {
			return done, err
		}
		start := time.Now()
		if m := w.clone(sfd, from+done, dfd, to+done, part); m > 0 {
			w.in.stats.Placing.Since(start)
			w.count(&w.in.stats.Kernel, m)
			w.in.stats.Cloned.Add(m)
			done += m
			continue
		}
		m := w.copyRange(sfd, from+done, dfd, to+done, part)
		w.in.stats.Placing.Since(start)
		w.count(&w.in.stats.Kernel, m)
		done += m
		if m == 0 {
			return done, nil
		}
	}
	return done, nil
}

// clone shares the blocks of the range, as far as it is made of whole ones, and
// returns how many bytes that are.
func (w *worker) clone(sfd int, from int64, dfd int, to, n int64) int64 {
	n -= n % cloneUnit
	how := &w.in.how
	if n == 0 || from%cloneUnit != 0 || to%cloneUnit != 0 || how.noClone.Load() {
		return 0
	}
	err := unix.IoctlFileCloneRange(dfd, &unix.FileCloneRange{
		Src_fd: int64(sfd), Src_offset: uint64(from), Src_length: uint64(n), Dest_offset: uint64(to),
	})
	if err == nil {
		how.cloned.Store(true)
		return n
	}
	// An error can be about the file system or about this range; the first one
	// decides, unless it worked before.
	if !how.cloned.Load() {
		how.noClone.Store(true)
	}
	return 0
}

// copyRange returns 0 when the kernel cannot, or will not say what is wrong.
func (w *worker) copyRange(sfd int, from int64, dfd int, to, n int64) int64 {
	how := &w.in.how
	if how.noCopy.Load() {
		return 0
	}
	for {
		m, err := unix.CopyFileRange(sfd, &from, dfd, &to, int(n), 0)
		switch {
		case err == nil:
			return int64(m)
		case err == unix.EINTR:
		case errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL):
			how.noCopy.Store(true)
			return 0
		default:
			return 0
		}
	}
}

// plainCopy moves n bytes through a buffer.
func (w *worker) plainCopy(ctx context.Context, src *os.File, from int64, dst *os.File, to, n int64) (bad, err error) {
	var buf []byte
	if b, ok := w.in.t.cfg.Pool.TryGet(int(min(n, plainStep))); ok {
		defer b.Release()
		buf = b.Bytes()
	} else {
		buf = make([]byte, min(n, 64<<10)) // rather than wait while holding a chunk
	}
	for n > 0 {
		part := buf[:w.o.pacer.Step(int(min(n, int64(len(buf)))))]
		if err := w.o.pacer.Wait(ctx, int64(len(part))); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if bad := w.readSource(src, part, from); bad != nil {
			return bad, nil
		}
		if bad := w.write(part, dst, to); bad != nil {
			return bad, nil
		}
		from, to, n = from+int64(len(part)), to+int64(len(part)), n-int64(len(part))
	}
	return nil, nil
}

// writeMem moves memory into a file.
func (w *worker) writeMem(ctx context.Context, b []byte, dst *os.File, to int64) (bad, err error) {
	for len(b) > 0 {
		part := b[:w.o.pacer.Step(min(len(b), step))]
		if err := w.o.pacer.Wait(ctx, int64(len(part))); err != nil {
			return nil, err
		}
		if bad := w.write(part, dst, to); bad != nil {
			return bad, nil
		}
		b, to = b[len(part):], to+int64(len(part))
	}
	return nil, nil
}

func (w *worker) write(b []byte, dst *os.File, to int64) (bad error) {
	start := time.Now()
	n, err := dst.WriteAt(b, to)
	w.in.stats.Placing.Since(start)
	w.count(&w.in.stats.Copied, int64(n))
	if err != nil {
		return fmt.Errorf("place the extent: %w", err)
	}
	return nil
}
