package fallback

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/rdma/rdmatest"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/receiver"
	"github.com/xferd/xferd/transfer/sender"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/tcp"
	"github.com/xferd/xferd/transport/verbs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// chunkSize of the edges, in bytes: the smallest that there is.
const chunkSize = 1 << 20

// rig is a source and a target, each with a device on a fabric.
type rig struct {
	t         *testing.T
	fabric    *rdmatest.Fabric
	a, b      *rdmatest.Device // of source and target
	src, dst  string           // directories
	files     map[string]int   // at the source, with their sizes
	senders   sender.Config
	receiver  *receiver.Receiver
	acceptors map[string]transport.Acceptor
	fault     func()
	changed   func(transport string)
	edge      *sender.Edge // while copy runs
	after     int          // extents that land before the fault

	mu     sync.Mutex
	landed map[[2]int64]int // by entry and offset
	total  int
	by     map[string]int // extents that landed by each transport
	paths  []string
}

func newRig(t *testing.T, l verbs.Limits) *rig {
	t.Helper()
	r := &rig{
		t: t, fabric: rdmatest.New(t, rdmatest.Options{Visible: true}), src: t.TempDir(), dst: t.TempDir(),
		files:  map[string]int{"big": 24*chunkSize + 17, "big2": 7 * chunkSize, "mid": 300_000, "a": 1, "b": 4096, "c": 70_000, "empty": 0},
		landed: map[[2]int64]int{}, by: map[string]int{},
	}
	r.a = r.fabric.Device("n1", rdmatest.DeviceConfig{Addrs: []string{"10.0.0.1"}})
	r.b = r.fabric.Device("n2", rdmatest.DeviceConfig{Addrs: []string{"10.0.0.2"}})
	out, _ := r.data("n1", "10.0.0.1", l)
	in, pool := r.data("n2", "10.0.0.2", l)

	st, err := store.Open(t.Context(), t.TempDir(), store.Options{NodeID: "n2", Cluster: "test"})
	must(t, err)
	t.Cleanup(func() { check(t, st.Close()) })
	exports := r.exports(r.dst)
	r.acceptors = map[string]transport.Acceptor{transport.RDMA: &watched{in.rdma, r, transport.RDMA}, transport.TCP: &watched{in.tcp, r, transport.TCP}}
	r.receiver, err = receiver.New(t.Context(), receiver.Config{
		Node: "n2", Exports: func() *fsroot.Exports { return exports }, Store: st, Pool: pool,
		Acceptors: r.acceptors,
		Order:     []string{transport.RDMA, transport.TCP}, Log: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	t.Cleanup(func() { check(t, r.receiver.Close()) })

	exported := r.exports(r.src)
	r.senders = sender.Config{
		Node: "n1", Exports: func() *fsroot.Exports { return exported }, Pool: bufpool.New(64 << 20),
		Dialers: map[string]transport.Dialer{transport.RDMA: out.rdma, transport.TCP: out.tcp}, Log: slog.New(slog.DiscardHandler),
	}
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func (r *rig) exports(dir string) *fsroot.Exports {
	r.t.Helper()
	e, err := fsroot.OpenExports([]fsroot.Export{{Path: dir, Mode: fsroot.ReadWrite}})
	must(r.t, err)
	r.t.Cleanup(func() { check(r.t, e.Close()) })
	return e
}

// planes are the transports of a node.
type planes struct {
	rdma *verbs.Transport
	tcp  *tcp.Transport
}

// data makes the transports of a host. At the end nothing may be left of them.
func (r *rig) data(host, addr string, l verbs.Limits) (planes, *bufpool.Pool) {
	t := r.t
	t.Helper()
	send, recv := bufpool.New(64<<20), bufpool.New(64<<20)
	sys := rdma.New(r.fabric.Driver(host))
	dev, err := sys.OpenDevice("fake0")
	must(t, err)
	rails := func() ([]verbs.Rail, error) {
		p, err := dev.Port(1)
		if err == nil && p.State != rdma.PortActive {
			err = os.ErrNotExist
		}
		if err != nil {
			return nil, &transport.UnavailableError{Transport: transport.RDMA, Reason: transport.PortDown, Err: err}
		}
		g, err := dev.GIDs()
		if err != nil {
			return nil, err
		}
		usable, _ := verbs.RankGIDs(p, g)
		return []verbs.Rail{{Device: dev, Port: p, GIDs: usable}}, nil
	}
	local := netip.MustParseAddr(addr)
	v, err := verbs.New(verbs.Config{
		Rails: rails, Route: func(netip.Addr) (netip.Addr, error) { return local, nil },
		SendPool: send, RecvPool: recv, Limits: l, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	listener, err := tcp.Listen(ctx, "127.0.0.1:0")
	must(t, err)
	c, err := tcp.New(tcp.Config{
		Listener: listener, Advertise: func() string { return listener.Addr().String() }, Pool: send, RecvPool: recv,
		Log: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	var running sync.WaitGroup
	running.Go(func() { _ = c.Run(ctx) })
	running.Go(func() {
		for {
			e, err := dev.NextEvent(ctx)
			if err != nil {
				return
			}
			v.Event(dev, e)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
		check(t, v.Close())
		check(t, dev.Close())
		for _, p := range []*bufpool.Pool{send, recv} {
			check(t, p.Close())
		}
	})
	return planes{v, c}, recv
}

// watched is an acceptor whose sinks are watched.
type watched struct {
	transport.Acceptor
	r    *rig
	name string // of the transport
}

func (w *watched) Prepare(ctx context.Context, e transport.Edge, s transport.Sink, o transport.PrepareOptions) (transport.Incoming, error) {
	return w.Acceptor.Prepare(ctx, e, &sink{s, w.r, w.name}, o)
}

// sink counts what landed, and is where the fault happens.
type sink struct {
	transport.Sink
	r    *rig
	name string
}

// Landed does the fault before it gives up the mutex. Nothing more is said to have
// landed meanwhile, and so no more chunks were posted before the fault than those and
// a slot full each: on a busy machine all might else be over before it.
func (s *sink) Landed(ctx context.Context, seq uint64, arrivals []transport.Arrival) []transport.Verdict {
	v := s.Sink.Landed(ctx, seq, arrivals)
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	for i := range v {
		if v[i].Code != transport.Placed {
			continue
		}
		s.r.landed[[2]int64{int64(arrivals[i].Entry), arrivals[i].Offset}]++
		s.r.by[s.name]++
		if s.r.total++; s.r.total >= s.r.after && s.r.fault != nil {
			s.r.fault()
			s.r.fault = nil
		}
	}
	return v
}

// Observer of the sender.
func (r *rig) Waiting(*transfer.Error)  {}
func (r *rig) Ready(string)             {}
func (r *rig) Opened(*transfer.Opened)  {}
func (r *rig) Result(transfer.Result)   {}
func (r *rig) Progress(sender.Progress) {}
func (r *rig) Path(name string, why transport.Reason, _ string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paths = append(r.paths, name+" "+string(why))
	if r.changed != nil {
		r.changed(name)
	}
}

// tree makes the files at the source: large ones of a few chunks and small ones.
func (r *rig) tree() (files map[string][]byte) {
	r.t.Helper()
	files = map[string][]byte{}
	for name, n := range r.files {
		b := make([]byte, n)
		rand.Read(b)
		files[name] = b
		must(r.t, os.WriteFile(filepath.Join(r.src, name), b, 0o644))
	}
	return files
}

// copy runs one edge with the whole tree and checks what came of it.
func (r *rig) copy(policy transfer.Policy) (sender.Summary, error) {
	r.t.Helper()
	files := r.tree()
	toTarget, toOwner := transfer.Pipe()
	var serving sync.WaitGroup
	serving.Go(func() { _ = r.receiver.Serve(r.t.Context(), receiver.Peer{Node: "n1"}, toOwner) })
	job := sender.Job{ID: "t", Epoch: 1, TargetDistinct: true, StateUUID: "state", Spec: transfer.Spec{
		Mode: transfer.ModeCopy, DestMode: transfer.DestExact, Compare: transfer.CompareSizeMtime, Verify: transfer.VerifyWire, Durability: transfer.DurabilityNone,
		Source: "n1", Target: "n2", Sources: []transfer.Source{{Path: r.src, Contents: true}}, Dest: filepath.Join(r.dst, "copy"),
		ChunkSize: chunkSize, Streams: 4, Policy: policy,
	}}
	rand.Read(job.UID[:])
	r.edge = sender.New(r.senders, job, toTarget, r)
	sum, err := r.edge.Run(r.t.Context())
	_ = toTarget.Close()
	serving.Wait()
	for key, n := range r.landed {
		if n != 1 {
			r.t.Errorf("entry %d at %d landed %d times", key[0], key[1], n)
		}
	}
	if err != nil {
		return sum, err
	}
	if sum.Failed != 0 || sum.TargetErr != nil {
		r.t.Errorf("%d failed, first %v, target: %v", sum.Failed, sum.FirstFailure, sum.TargetErr)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(r.dst, "copy", name))
		if err != nil || string(got) != string(want) {
			r.t.Errorf("%s is not the source's, %v", name, err)
		}
	}
	return sum, err
}
