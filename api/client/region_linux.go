package client

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"time"

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

	page   atomic.Pointer[current]
	ctx    context.Context
	stop   context.CancelFunc
	done   chan struct{} // of the goroutine that keeps the connection
	closed sync.Once
	shut   atomic.Bool // by Close
	fence  atomic.Uint32

	mu  sync.Mutex
	err error // why it is over; nil while it is not
}

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

// Bytes is the memory of the region. It must not be touched after Close. What lies in
// ranges that a transfer is writing, or that are torn, is undefined: wait for the
// commit, then read. See docs/regions.md.
func (g *Region) Bytes() []byte { return g.b }

// UID tells regions of one name apart.
func (g *Region) UID() string { return g.uid }

// Generation rises with each commit of a transfer, and with a restart of the daemon. It
// costs one load from memory.
func (g *Region) Generation() uint64 { return g.page.Load().generation() }

// OpenWrites is how many transfers write to the region now.
func (g *Region) OpenWrites() int { return int(g.page.Load().word(pageOpenWrites)) }

// Begun is another number whenever a transfer began to write to the region since: who
// takes it, then sees that OpenWrites is 0, and finds it the same after a copy of the
// memory, has a copy that no transfer wrote meanwhile.
func (g *Region) Begun() uint64 {
	g.fence.Add(1) // what the caller copied is copied before the load
	p := g.page.Load()
	return p.number<<48 | p.long(pageBegun)
}

// Torn is how many ranges are undefined, since a transfer that wrote them did not end
// well; GetRegion tells which.
func (g *Region) Torn() int { return int(g.page.Load().word(pageTorn)) }

// Close leaves the region and unmaps its memory: nothing may touch Bytes any more. It
// ends what is in Wait. The lease of the region begins when all programs left.
// Idempotent.
func (g *Region) Close() error {
	g.closed.Do(func() {
		g.fail(attachError(xferv1.Reason_REASON_CANCELLED.Name(), "region "+g.id+" was closed here"))
		g.shut.Store(true)
		g.stop()
		<-g.done
		_ = unix.Munmap(g.b)
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
