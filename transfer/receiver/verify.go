package receiver

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

var readBuffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// readBack reads a whole temp again and compares it with the digests of what
// arrived, before it gets its name.
func (e *edge) readBack(it *item) error {
	if it.task != taskFile {
		return nil
	}
	good := true
	// Memory of its own: streams wait for publishers while they hold the pool's.
	// And a publisher finishes its batch when the edge ends.
	buf := readBuffers.Get().(*[readBuffer]byte)
	defer readBuffers.Put(buf)
	err := e.hashExtents(context.WithoutCancel(e.ctx), buf[:], it.temp.f, it.e.Size, func(int64) bool { return good }, func(i int64, d transport.Digest) {
		good = d == it.digests[i]
	})
	if err != nil || good {
		return err
	}
	return &transfer.Error{Reason: transfer.ChecksumMismatch, Side: transfer.SideTarget, Phase: transfer.PhaseVerify, Node: e.r.cfg.Node, Path: it.temp.f.Path(),
		Err: errors.New("the file that was read back is not the one that was written"), Hint: "check the memory and the disks of the target"}
}

// readMedia reads a temp back from its device: what was written is made durable
// and dropped from the page cache first.
func (e *edge) readMedia(it *item) error {
	if it.task != taskFile {
		return nil
	}
	if !e.opt.durable() {
		if err := it.temp.f.Sync(); err != nil {
			return err
		}
	}
	if err := unix.Fadvise(it.temp.f.Fd(), 0, 0, unix.FADV_DONTNEED); err != nil {
		return err
	}
	return e.readBack(it)
}
