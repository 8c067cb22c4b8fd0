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
	src, dst *host
	mem      []byte // what every chunk has
	epoch    uint64
}

type host struct {
	*verbs.Transport
	dev        *rdma.Device
	send, recv *bufpool.Pool
}

func newEdges(o options, verify bool) (*edges, error) {
	e := &edges{o: o, verify: verify, mem: make([]byte, o.chunk<<20)}
	for i := range e.mem {
		e.mem[i] = byte(i * 7 >> 3)
	}
	var err error
	if e.src, err = newHost(o); err == nil {
		e.dst, err = newHost(o)
	}
	return e, err
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

// move runs one edge. Its set-up is not measured, as that of ib_write_bw is not.
func (e *edges) move(ctx context.Context) (run, error) {
	e.epoch++
	id := transport.Edge{UID: [16]byte{1}, Epoch: e.epoch, Peer: "bench"}
	in, err := e.dst.Prepare(ctx, id, sink{}, transport.PrepareOptions{Streams: e.o.streams, ChunkSize: int64(e.o.chunk) << 20, Verify: e.verify})
	if err != nil {
		return run{}, err
	}
	defer in.Close()
	var joined sync.WaitGroup
	defer joined.Wait()
	out, err := e.src.Dial(ctx, id, in.Grant(), transport.DialOptions{
		Streams: e.o.streams, ChunkSize: int64(e.o.chunk) << 20, Verify: e.verify,
		Control: func(context.Context) (transport.Control, error) {
			a, b := transporttest.Controls()
			joined.Go(func() { _ = in.(transport.Joiner).Join(b) })
			return a, nil
		},
	})
	if err != nil {
		return run{}, err
	}
	defer out.Close()
	f := &feed{left: e.o.mib / e.o.chunk, mem: e.mem}
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
	mu   sync.Mutex
	mem  []byte
	left int
	seq  uint64
}

func (f *feed) Next(context.Context, int) (*transport.Chunk, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left == 0 {
		return nil, io.EOF
	}
	f.left--
	f.seq++
	n := int64(len(f.mem))
	return &transport.Chunk{Seq: f.seq, Extents: []transport.Extent{{
		ExtentHeader: transport.ExtentHeader{Entry: 1, Offset: int64(f.seq) * n, Length: n, Segments: []transport.Range{{Offset: int64(f.seq) * n, Length: n}}},
		Bodies:       []transport.Body{{Mem: f.mem}},
	}}}, nil
}

func (*feed) Done(*transport.Chunk, []transport.Verdict) {}

// sink takes bytes where they landed.
type sink struct{}

func (sink) Place(_ context.Context, _ uint64, x []transport.ExtentHeader) ([]transport.Landing, error) {
	return make([]transport.Landing, len(x)), nil
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
