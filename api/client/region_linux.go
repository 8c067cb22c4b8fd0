package client

import (
	"context"
	"encoding/binary"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// AttachOptions of AttachRegion and OfferRegion.
type AttachOptions struct {
	// ReadOnly maps the memory for reading alone. Those who may only read a region
	// need it.
	ReadOnly bool
	// Spin is how long Wait looks again and again before it sleeps: it takes a
	// processor, and saves some microseconds.
	Spin time.Duration
	// Lost, if set, is called when the node does not answer any more, and is tried
	// again. It must not block.
	Lost func(error)
}

// Region is a memory region that this program is attached to. As long as it is, the
// region's lease does not run. When the node's daemon is started again the Region
// attaches anew by itself, and so brings the region back with its memory. Its methods
// may be called concurrently.
type Region struct {
	c    *Client
	id   string
	o    AttachOptions
	uid  string
	file *os.File // nil with ReadOnly: nothing to offer
	b    []byte

	page   atomic.Pointer[noticePage]
	ctx    context.Context
	stop   context.CancelFunc
	done   chan struct{} // of the goroutine that keeps the connection
	closed sync.Once

	mu    sync.Mutex
	pages []*noticePage // all, until Close: somebody may be reading an old one
	err   error         // why it is over; nil while it is not
}

// noticePage is what the daemon tells attached programs.
type noticePage struct{ b []byte }

const (
	pageSize       = 4096
	pageMagic      = 0x47455258
	pageGeneration = 16
	pageOpenWrites = 24
	pageState      = 28
	pageTorn       = 32

	stateGone        = 3
	stateQuarantined = 4
)

// AttachRegion attaches to a region of the node that the Client dialled, by its unix
// socket, and maps its memory. Close the Region. Errors: REGION_NOT_FOUND,
// REGION_DETACHED, REGION_QUARANTINED, PERMISSION_DENIED (it may be read alone).
func (c *Client) AttachRegion(ctx context.Context, id string, o AttachOptions) (*Region, error) {
	mode := "rw"
	if o.ReadOnly {
		mode = "r"
	}
	j, err := c.ask(ctx, "attach "+id+" "+mode, nil, 2)
	if err != nil {
		return nil, err
	}
	return c.newRegion(id, o, j, j.files[0], j.files[1])
}

// OfferRegion gives a foreign region its memory, as from NewMemory, and attaches to
// it. The file stays the caller's. Errors: REGION_FD, REGION_NOT_FOUND.
func (c *Client) OfferRegion(ctx context.Context, id string, memory *os.File, o AttachOptions) (*Region, error) {
	j, err := c.ask(ctx, "offer "+id, memory, 1)
	if err != nil {
		return nil, err
	}
	fd, err := unix.FcntlInt(memory.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		j.closeAll()
		return nil, err
	}
	return c.newRegion(id, o, j, os.NewFile(uintptr(fd), "region"), j.files[0])
}

// newRegion takes over the connection and both files.
func (c *Client) newRegion(id string, o AttachOptions, j *joined, memory, notice *os.File) (*Region, error) {
	g := &Region{c: c, id: id, o: o, uid: j.uid, done: make(chan struct{})}
	prot := unix.PROT_READ
	if !o.ReadOnly {
		prot |= unix.PROT_WRITE
		g.file = memory
	}
	var err error
	if g.b, err = unix.Mmap(int(memory.Fd()), 0, int(j.size), prot, unix.MAP_SHARED); err == nil {
		err = g.follow(notice)
	}
	_ = notice.Close()
	if o.ReadOnly || err != nil {
		_ = memory.Close()
	}
	if err != nil {
		_ = j.conn.Close()
		if g.b != nil {
			_ = unix.Munmap(g.b)
		}
		return nil, &Error{Message: "map region " + id + ": " + err.Error(), ExitCode: 1, Err: err}
	}
	g.ctx, g.stop = context.WithCancel(context.Background())
	go g.keep(j)
	return g, nil
}

// follow maps a notice page, and makes it the one that counts.
func (g *Region) follow(f *os.File) error {
	b, err := unix.Mmap(int(f.Fd()), 0, pageSize, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(b) != pageMagic {
		_ = unix.Munmap(b)
		return attachError(xferv1.Reason_REASON_PROTOCOL_ERROR.Name(), "the notice page has another format")
	}
	p := &noticePage{b}
	g.mu.Lock()
	g.pages = append(g.pages, p)
	g.mu.Unlock()
	g.page.Store(p)
	return nil
}

// Bytes is the memory of the region. It must not be touched after Close. What lies in
// ranges that a transfer is writing, or that are torn, is undefined: wait for the
// commit, then read. See docs/regions.md.
func (g *Region) Bytes() []byte { return g.b }

// UID tells regions of one name apart.
func (g *Region) UID() string { return g.uid }

// Generation rises with each commit of a transfer. It costs one load from memory.
func (g *Region) Generation() uint64 { return g.page.Load().generation() }

// OpenWrites is how many transfers write to the region now.
func (g *Region) OpenWrites() int { return int(g.page.Load().word(pageOpenWrites)) }

// Torn is how many ranges are undefined, since a transfer that wrote them did not end
// well; GetRegion tells which.
func (g *Region) Torn() int { return int(g.page.Load().word(pageTorn)) }

func (p *noticePage) word(off int) uint32 {
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(&p.b[off])))
}

func (p *noticePage) generation() uint64 {
	return atomic.LoadUint64((*uint64)(unsafe.Pointer(&p.b[pageGeneration])))
}

// maxSleep bounds one sleep in Wait: so much later it sees the end of its context, a
// deleted region, or a daemon that was started again.
const maxSleep = 20 * time.Millisecond

// Wait blocks until the generation is above after, and returns it. All that was
// committed up to it can be read then. Errors: that of ctx, REGION_GONE when the
// region was deleted or its lease ended, REGION_QUARANTINED, others when the Region
// can not attach again, or was closed.
func (g *Region) Wait(ctx context.Context, after uint64) (uint64, error) {
	spun := time.Now().Add(g.o.Spin)
	for spins := 0; ; spins++ {
		p := g.page.Load()
		if now := p.generation(); now > after {
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
		word := p.word(pageGeneration)
		if p.generation() > after {
			continue
		}
		ts := unix.NsecToTimespec(int64(maxSleep))
		// FUTEX_WAIT, shared: it returns at once when the word is not the same.
		_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&p.b[pageGeneration])), 0, uintptr(word),
			uintptr(unsafe.Pointer(&ts)), 0, 0)
	}
}

// over returns why the region can not be waited for any more.
func (g *Region) over() error {
	switch g.page.Load().word(pageState) {
	case stateGone:
		return attachError(xferv1.Reason_REASON_REGION_GONE.Name(), "region "+g.id+" was deleted, or its lease ended")
	case stateQuarantined:
		return attachError(xferv1.Reason_REASON_REGION_QUARANTINED.Name(), "region "+g.id+" is quarantined: a device could not be stopped from writing it")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// Close leaves the region and unmaps its memory: nothing may touch Bytes any more, nor
// be in Wait. The lease of the region begins when all programs left. Idempotent.
func (g *Region) Close() error {
	g.closed.Do(func() {
		g.stop()
		<-g.done
		g.fail(attachError(xferv1.Reason_REASON_CANCELLED.Name(), "region "+g.id+" was closed here"))
		_ = unix.Munmap(g.b)
		for _, p := range g.pages {
			_ = unix.Munmap(p.b)
		}
		if g.file != nil {
			_ = g.file.Close()
		}
	})
	return nil
}

func (g *Region) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
	}
}
