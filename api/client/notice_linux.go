package client

import (
	"context"
	"encoding/binary"
	"os"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// noticePage is what the daemon tells attached programs. It is mapped for as long as
// anything refers to it: somebody may be reading an old one, also after Close.
type noticePage struct{ b []byte }

const (
	pageSize       = 4096
	pageMagic      = 0x47455258
	pageGeneration = 16
	pageOpenWrites = 24
	pageState      = 28
	pageTorn       = 32
	pageFirst      = 40
	pageBegun      = 48

	stateGone        = 3
	stateQuarantined = 4
)

// mapNotice maps a notice page. The file stays the caller's.
func mapNotice(f *os.File) (*noticePage, error) {
	b, err := unix.Mmap(int(f.Fd()), 0, pageSize, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(b) != pageMagic {
		_ = unix.Munmap(b)
		return nil, attachError(xferv1.Reason_REASON_PROTOCOL_ERROR.Name(), "the notice page has another format")
	}
	p := &noticePage{b}
	runtime.AddCleanup(p, func(b []byte) { _ = unix.Munmap(b) }, b)
	return p, nil
}

func (p *noticePage) word(off int) uint32 {
	defer runtime.KeepAlive(p)
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(&p.b[off])))
}

func (p *noticePage) long(off int) uint64 {
	defer runtime.KeepAlive(p)
	return atomic.LoadUint64((*uint64)(unsafe.Pointer(&p.b[off])))
}

func (p *noticePage) generation() uint64 { return p.long(pageGeneration) }

// sleep returns when the generation is not now any more, when the daemon tells of
// something else, or after maxSleep.
func (p *noticePage) sleep(now uint64) {
	ts := unix.NsecToTimespec(int64(maxSleep))
	// FUTEX_WAIT, shared: it returns at once when the word is not the same.
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&p.b[pageGeneration])), 0, uintptr(uint32(now)),
		uintptr(unsafe.Pointer(&ts)), 0, 0)
	runtime.KeepAlive(p)
}

// jump is a rise of the generation by a restart of the daemon: nothing was committed
// above from, up to to.
type jump struct{ from, to uint64 }

// current is the page that counts, and the jumps up to it.
type current struct {
	*noticePage
	number uint64 // of pages before it
	jumps  []jump
}

// past returns the generation above which there is a commit that came after one.
func (c *current) past(after uint64) uint64 {
	for _, j := range c.jumps {
		if after >= j.from && after < j.to {
			after = j.to
		}
	}
	return after
}

// follow maps a notice page, and makes it the one that counts.
func (g *Region) follow(f *os.File) error {
	p, err := mapNotice(f)
	if err != nil {
		return err
	}
	next := &current{noticePage: p}
	if old := g.page.Load(); old != nil {
		next.number, next.jumps = old.number+1, old.jumps
		// The daemon of the old page is gone, or it is still the same one. One that
		// is older than this field says 0: its restarts can not be told from commits.
		if j := (jump{old.generation(), p.long(pageFirst)}); j.from < j.to {
			next.jumps = append(next.jumps[:len(next.jumps):len(next.jumps)], j)
		}
	}
	g.page.Store(next)
	return nil
}

// maxSleep bounds one sleep in Wait: so much later it sees the end of its context, a
// deleted region, or a daemon that was started again.
const maxSleep = 20 * time.Millisecond

// Wait blocks until something was committed after the generation after, which was
// seen by this Region, and returns the generation. All that was committed up to it can
// be read then, where no other transfer writes it (OpenWrites) and none left it torn
// (Torn): whose commit it was Wait does not know. A restart of the daemon, which makes
// the generation rise as well, does not end it. Errors: that of ctx, REGION_GONE when
// the region was deleted or its lease ended, REGION_QUARANTINED, CANCELLED after Close,
// others when the Region can not attach again.
func (g *Region) Wait(ctx context.Context, after uint64) (uint64, error) {
	spun := time.Now().Add(g.o.Spin)
	for spins := 0; ; spins++ {
		if g.shut.Load() {
			return 0, g.over()
		}
		p := g.page.Load()
		now := p.generation()
		if now > after && now > p.past(after) {
			return now, nil
		}
		if g.o.Spin > 0 && spins%64 != 0 { // the rest costs more than a look at the page
			continue
		}
		if err := g.over(); err != nil {
			return 0, err
		}
		if err := ctx.Err(); err != nil {
			return 0, AsError(err)
		}
		if g.o.Spin > 0 && time.Now().Before(spun) {
			if spins%1024 == 0 {
				runtime.Gosched()
			}
			continue
		}
		p.sleep(now)
	}
}

// over returns why the region can not be waited for any more.
func (g *Region) over() error {
	g.mu.Lock()
	err := g.err
	g.mu.Unlock()
	if err != nil {
		return err
	}
	switch g.page.Load().word(pageState) {
	case stateGone:
		return attachError(xferv1.Reason_REASON_REGION_GONE.Name(), "region "+g.id+" was deleted, or its lease ended")
	case stateQuarantined:
		return attachError(xferv1.Reason_REASON_REGION_QUARANTINED.Name(), "region "+g.id+" is quarantined: a device could not be stopped from writing it")
	}
	return nil
}
