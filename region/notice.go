package region

import (
	"encoding/binary"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// notice is the page that attached programs watch, little-endian on all machines
// that this runs on. docs/regions.md has it for those who read it.
type notice struct {
	f *os.File // for programs: can be mapped for reading alone
	b []byte
}

const (
	noticeSize    = 4096
	noticeMagic   = 0x47455258 // "XREG"
	noticeVersion = 1

	noticeGeneration = 16 // 8 bytes; its low half is the futex word
	noticeOpenWrites = 24
	noticeState      = 28
	noticeTorn       = 32
	noticeFirst      = 40 // 8 bytes
	noticeBegun      = 48 // 8 bytes
)

// newNotice makes the page of a region of a size. first is the generation that it had
// when this process began: that of before was lower without a commit between.
func newNotice(size int64, first uint64) (_ *notice, err error) {
	f, err := memfd("xferd-notice", unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	p := &notice{f: f}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if err := f.Truncate(noticeSize); err != nil {
		return nil, err
	}
	if err := f.Chmod(0o600); err != nil {
		return nil, err
	}
	if err := unix.Fallocate(int(f.Fd()), 0, 0, noticeSize); err != nil {
		return nil, err
	}
	if p.b, err = unix.Mmap(int(f.Fd()), 0, noticeSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, err
	}
	binary.LittleEndian.PutUint32(p.b, noticeMagic)
	binary.LittleEndian.PutUint32(p.b[4:], noticeVersion)
	binary.LittleEndian.PutUint64(p.b[8:], uint64(size))
	binary.LittleEndian.PutUint64(p.b[noticeFirst:], first)
	// The mapping that is there can be written still; nobody gets another one.
	return p, addSeals(f, unix.F_SEAL_FUTURE_WRITE|sizeSeals|unix.F_SEAL_SEAL)
}

func (p *notice) word(off int) *uint32 { return (*uint32)(unsafe.Pointer(&p.b[off])) }

// tell stores what is true now, and wakes who waits. The order is a promise to those
// who read: what was torn stands there before an open write is taken away; an open
// write stands there before it is counted among those that began, and both before its
// first byte; the generation comes last.
func (p *notice) tell(generation uint64, open int, begun uint64, torn int, s State) {
	atomic.StoreUint32(p.word(noticeTorn), uint32(torn))
	atomic.StoreUint32(p.word(noticeOpenWrites), uint32(open))
	atomic.StoreUint64((*uint64)(unsafe.Pointer(&p.b[noticeBegun])), begun)
	atomic.StoreUint32(p.word(noticeState), uint32(s))
	atomic.StoreUint64((*uint64)(unsafe.Pointer(&p.b[noticeGeneration])), generation)
	const wake, all = 1, 1<<31 - 1 // FUTEX_WAKE, shared: other processes wait
	_, _, _ = unix.Syscall(unix.SYS_FUTEX, uintptr(unsafe.Pointer(p.word(noticeGeneration))), wake, all)
}

// close gives the page back; programs that mapped it keep it.
func (p *notice) close() {
	if p == nil {
		return
	}
	if p.b != nil {
		_ = unix.Munmap(p.b)
	}
	_ = p.f.Close()
}
