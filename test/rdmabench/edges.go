package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/test/lab"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/transporttest"
	"github.com/xferd/xferd/transport/verbs"
)

// edges is the transport alone: both ends in this process, over the device.
type edges struct {
	o        options
	verify   bool
	inPlace  bool // from memory that is registered to memory that is, else through slots
	src, dst *host
	mem      []byte // of the source: chunks one after the other, and again
	to       []byte // of the target, in place
	epoch    uint64
}

// regionMiB is the size of the memory of programs.
const regionMiB = 64

type host struct {
	*verbs.Transport
	dev        *rdma.Device
	send, recv *bufpool.Pool
}

func newEdges(o options, verify, inPlace bool) (e *edges, err error) {
	e = &edges{o: o, verify: verify, inPlace: inPlace}
	if inPlace {
		if e.to, err = region(); err == nil {
			e.mem, err = region()
		}
		if err != nil {
			return nil, err
		}
	} else {
		e.mem = make([]byte, o.chunk<<20)
	}
	for i := range e.mem {
		e.mem[i] = byte(i * 7 >> 3)
	}
	if e.src, err = newHost(o); err == nil {
		e.dst, err = newHost(o)
	}
	return e, err
}

// region maps memory as that of a program is: a memfd.
func region() ([]byte, error) {
	fd, err := unix.MemfdCreate("bench", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, regionMiB<<20); err != nil {
		return nil, err
	}
	return unix.Mmap(fd, 0, regionMiB<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
}

func newHost(o options) (*host, error) {
	sys, err := rdma.Open()
	if err != nil {
		return nil, err
	}
	h := &host{send: bufpool.New(256 << 20), recv: bufpool.New(256 << 20)}
	if h.dev, err = sys.OpenDevice(os.Getenv(lab.EnvDevice)); err != nil {
		return nil, err
	}
	local, err := netip.ParseAddr(os.Getenv(lab.EnvAddr))
	if err != nil {
		return nil, err
	}
	h.Transport, err = verbs.New(verbs.Config{
		Rails: h.rails, Route: func(netip.Addr) (netip.Addr, error) { return local, nil },
		SendPool: h.send, RecvPool: h.recv, Limits: verbs.Limits{QueuePairs: o.queues},
	})
	return h, err
}

func (h *host) rails() ([]verbs.Rail, error) {
	p, err := h.dev.Port(1)
	if err != nil {
		return nil, err
	}
	g, err := h.dev.GIDs()
	if err != nil {
		return nil, err
	}
	usable, _ := verbs.RankGIDs(p, g)
	if len(usable) == 0 {
		return nil, errors.New("no address that can be used")
	}
	return []verbs.Rail{{Device: h.dev, Port: p, GIDs: usable}}, nil
}

func (e *edges) close() {
	for _, h := range []*host{e.src, e.dst} {
		_ = h.Close()
		_ = h.dev.Close()
		_ = h.send.Close()
		_ = h.recv.Close()
	}
}

// open brings an edge up. end ends it.
func (e *edges) open(ctx context.Context, to transport.Sink, chunk int64) (in transport.Incoming, out transport.Outgoing, end func(), err error) {
	e.epoch++
	id := transport.Edge{UID: [16]byte{1}, Epoch: e.epoch, Peer: "bench"}
	prepare := transport.PrepareOptions{Streams: e.o.streams, ChunkSize: chunk, Verify: e.verify}
	dial := transport.DialOptions{Streams: e.o.streams, ChunkSize: chunk, Verify: e.verify}
	if e.inPlace {
		prepare.Memory, dial.Memory = &transport.Memory{Base: e.to}, []*transport.Memory{{Base: e.mem}}
	}
	if in, err = e.dst.Prepare(ctx, id, to, prepare); err != nil {
		return nil, nil, nil, err
	}
	var joined sync.WaitGroup
	dial.Control = func(context.Context) (transport.Control, error) {
		a, b := transporttest.Controls()
		joined.Go(func() { _ = in.(transport.Joiner).Join(b) })
		return a, nil
	}
	end = func() {
		if out != nil {
			_ = out.Close()
		}
		_ = in.Close()
		joined.Wait()
	}
	if out, err = e.src.Dial(ctx, id, in.Grant(), dial); err != nil {
		out = nil
		end()
		return nil, nil, nil, err
	}
	return in, out, end, nil
}

// move runs one edge. Its set-up is not measured, as that of ib_write_bw is not.
func (e *edges) move(ctx context.Context) (run, error) {
	chunk := int64(e.o.chunk) << 20
	in, out, end, err := e.open(ctx, sink{e.to, chunk}, chunk)
	if err != nil {
		return run{}, err
	}
	defer end()
	f := &feed{left: e.o.mib / e.o.chunk, mem: e.mem, chunk: chunk, inPlace: e.inPlace}
	used, err := meter(func() (time.Duration, error) { return processor(), nil })
	if err != nil {
		return run{}, err
	}
	calls, start := runtime.NumCgoCall(), time.Now()
	err = out.Run(ctx, f)
	r := run{wall: time.Since(start), crossings: runtime.NumCgoCall() - calls, bytes: in.Stats().Bytes}
	if err != nil {
		return r, err
	}
	if r.cpu, err = used(); err != nil {
		return r, err
	}
	if want := int64(e.o.mib/e.o.chunk) * int64(e.o.chunk) << 20; r.bytes != want {
		return r, fmt.Errorf("%d bytes of %d landed", r.bytes, want)
	}
	r.events = 2 * in.Stats().Chunks // that it was sent, and that it came
	return r, nil
}

// feed gives chunks of one memory.
type feed struct {
	mu      sync.Mutex
	mem     []byte
	chunk   int64
	inPlace bool
	left    int
	seq     uint64
}

func (f *feed) Next(context.Context, int) (*transport.Chunk, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left == 0 {
		return nil, io.EOF
	}
	f.left--
	f.seq++
	return piece(f.seq, f.mem, f.chunk, f.inPlace), nil
}

// piece is chunk number seq of n bytes. In place it belongs where it is at the
// source.
func piece(seq uint64, mem []byte, n int64, inPlace bool) *transport.Chunk {
	at := int64(seq) * n % int64(len(mem))
	x := transport.Extent{
		ExtentHeader: transport.ExtentHeader{Entry: 1, Offset: int64(seq) * n, Length: n, Segments: []transport.Range{{Offset: int64(seq) * n, Length: n}}},
		Bodies:       []transport.Body{{Mem: mem[at : at+n]}},
	}
	if inPlace {
		x.Places = []transport.Range{{Offset: at, Length: n}}
	}
	return &transport.Chunk{Seq: seq, Extents: []transport.Extent{x}}
}

func (*feed) Done(*transport.Chunk, []transport.Verdict) {}

// sink takes bytes where they landed: in memory, if there is some.
type sink struct {
	to    []byte
	chunk int64
}

func (s sink) Place(_ context.Context, _ uint64, x []transport.ExtentHeader) ([]transport.Landing, error) {
	l := make([]transport.Landing, len(x))
	for i := range x {
		if s.to != nil {
			at := x[i].Offset % int64(len(s.to))
			l[i].Mem = [][]byte{s.to[at : at+x[i].Length]}
		}
	}
	return l, nil
}

func (sink) Landed(_ context.Context, _ uint64, a []transport.Arrival) []transport.Verdict {
	v := make([]transport.Verdict, len(a))
	for i := range a {
		v[i] = transport.Verdict{Code: a[i].Code, Digest: a[i].Digest, Err: a[i].Err}
		if a[i].Err == nil {
			v[i].Code = transport.Placed
		}
	}
	return v
}
