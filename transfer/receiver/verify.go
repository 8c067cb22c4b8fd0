package receiver

import (
	"context"
	"errors"
	"sync"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// Memory of its own: streams wait for publishers while they hold the pool's.
// Arrays of that size begin at a page.
var readBuffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// pread reads a file as Pread does.
type pread interface {
	Pread(b []byte, off int64) (int, error)
}

// readBack reads a whole temp again and compares it with the digests of what
// arrived, before it gets its name.
func (e *edge) readBack(it *item) error {
	if it.task != taskFile {
		return nil
	}
	return e.compareBack(it, it.temp.f)
}

func (e *edge) compareBack(it *item, from pread) error {
	good := true
	buf := readBuffers.Get().(*[readBuffer]byte)
	defer readBuffers.Put(buf)
	// A publisher finishes its batch when the edge ends.
	err := e.hashExtents(context.WithoutCancel(e.ctx), buf[:], from, it.e.Size, func(int64) bool { return good }, func(i int64, d transport.Digest) {
		good = d == it.digests[i]
	})
	if err != nil || good {
		return err
	}
	return &transfer.Error{Reason: transfer.ChecksumMismatch, Side: transfer.SideTarget, Phase: transfer.PhaseVerify, Node: e.r.cfg.Node, Path: it.temp.f.Path(),
		Err: errors.New("the file that was read back is not the one that was written"), Hint: "check the memory and the disks of the target"}
}

// directFile reads past the page cache. The memory that it is given is part of a
// larger buffer, in whole units.
type directFile struct{ *fsroot.File }

func (f directFile) Pread(b []byte, off int64) (int, error) {
	whole := (len(b) + fsroot.DirectUnit - 1) / fsroot.DirectUnit * fsroot.DirectUnit
	n, err := f.PreadDirect(b[:whole], off)
	return min(n, len(b)), err
}

// readMedia reads a temp back from its device: what was written is made durable,
// and the page cache passed by. Where that cannot be, the temp is read back all
// the same, and the transfer says that it was no more than that.
func (e *edge) readMedia(it *item) error {
	if it.task != taskFile {
		return nil
	}
	f := it.temp.f
	if !e.opt.durable() {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	fs, err := it.dir.Statfs()
	if err != nil {
		return err
	}
	why := whyNoMedia(fs.Type)
	if why == "" {
		if err = f.Direct(); err == nil {
			err = e.compareBack(it, directFile{f})
		}
		if !errors.Is(err, fsroot.ErrUnsupported) {
			return err
		}
		why = transfer.CacheNotDropped
	}
	e.weaken(why)
	return e.readBack(it)
}

// weaken notes that a file could only be read back from the file system.
func (e *edge) weaken(why transfer.VerifyReason) {
	e.mu.Lock()
	first := e.checked == transfer.Checked{}
	if first {
		e.checked = transfer.Checked{Verify: transfer.VerifyStore, Reason: why}
	}
	e.mu.Unlock()
	if first {
		e.log.Warn("files cannot be read back from their device", "asked", transfer.VerifyMedia, "verify", transfer.VerifyStore, "verify_reason", why)
	}
}

// Types of file systems, of statfs(2).
const (
	ramfsMagic     = 0x858458f6
	hugetlbfsMagic = 0x958458f6
	extMagic       = 0xef53
	xfsMagic       = 0x58465342
	btrfsMagic     = 0x9123683e
	f2fsMagic      = 0xf2f52010
)

// whyNoMedia says why reading past the page cache does not reach a device on a
// type of file system; empty where it does.
func whyNoMedia(fsType int64) transfer.VerifyReason {
	switch uint32(fsType) {
	case extMagic, xfsMagic, btrfsMagic, f2fsMagic:
		return ""
	case tmpfsMagic, ramfsMagic, hugetlbfsMagic:
		return transfer.MemoryFileSystem
	}
	return transfer.UnprovedFileSystem
}
