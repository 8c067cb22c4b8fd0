package memory_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/region"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/memory"
	"github.com/xferd/xferd/transfer/scan"
	"github.com/xferd/xferd/transfer/sender"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/tcp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	mib = 1 << 20
	ann = "uid:1001"
	bob = "uid:1002"
)

// rig is an owner and a target with regions of their own, and TCP between them.
type rig struct {
	t        *testing.T
	ctx      context.Context
	dir      string
	src, dst *region.Registry
	exports  *fsroot.Exports
	pool     *bufpool.Pool
	tcp      *tcp.Transport
	acceptor transport.Acceptor // over tcp; a test may put another one around it
	dialer   transport.Dialer
	target   *memory.Target
	stores   []*store.Store
	wg       sync.WaitGroup
	stop     context.CancelFunc
	epoch    uint64
	draining bool
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), pool: bufpool.New(64 * mib)}
	ctx, cancel := context.WithCancel(context.Background())
	r.ctx, r.stop = ctx, cancel
	r.src, r.dst = r.registry("n1"), r.registry("n2")
	var err error
	if r.exports, err = fsroot.OpenExports([]fsroot.Export{{Path: r.dir}}); err != nil {
		t.Fatal(err)
	}
	ln, err := tcp.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if r.tcp, err = tcp.New(tcp.Config{Listener: ln, Pool: r.pool}); err != nil {
		t.Fatal(err)
	}
	r.wg.Go(func() { _ = r.tcp.Run(ctx) })
	r.acceptor, r.dialer = r.tcp, r.tcp
	t.Cleanup(r.close)
	return r
}

func (r *rig) registry(node string) *region.Registry {
	s, err := store.Open(r.ctx, filepath.Join(r.t.TempDir(), "state"), store.Options{NodeID: node, Cluster: "c", Log: slog.New(slog.DiscardHandler), NoSync: true})
	if err != nil {
		r.t.Fatal(err)
	}
	reg, err := region.Open(r.ctx, region.Config{Store: s, Log: slog.New(slog.DiscardHandler), Boot: "boot"})
	if err != nil {
		r.t.Fatal(err)
	}
	r.stores = append(r.stores, s)
	return reg
}

func (r *rig) close() {
	if r.target != nil {
		_ = r.target.Close()
	}
	r.stop()
	r.wg.Wait()
	_ = r.src.Close()
	_ = r.dst.Close()
	for _, s := range r.stores {
		_ = s.Close()
	}
	_ = r.exports.Close()
	if err := r.pool.Close(); err != nil {
		r.t.Error(err)
	}
}

// create makes a region of ann's whose bytes are b, and which bob may read.
func (r *rig) create(reg *region.Registry, id string, b []byte) {
	r.t.Helper()
	size := (len(b) + region.PageSize - 1) / region.PageSize * region.PageSize
	if _, err := reg.Create(r.ctx, region.Spec{ID: id, Principal: ann, Size: int64(size), Readers: []string{bob}}); err != nil {
		r.t.Fatal(err)
	}
	r.look(reg, id, func(mem []byte) { copy(mem, b) })
}

// look calls f with the memory of a region, as an attached program has it.
func (r *rig) look(reg *region.Registry, id string, f func(mem []byte)) {
	r.t.Helper()
	g, err := reg.Read(ann, id)
	if err != nil {
		r.t.Fatal(err)
	}
	f(g.Memory())
	if err := g.Close(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) info(reg *region.Registry, id string) region.Info {
	r.t.Helper()
	i, err := reg.Get(ann, id)
	if err != nil {
		r.t.Fatal(err)
	}
	return i
}

func (r *rig) file(name string, b []byte) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, b, 0o644); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// sources and targets are what the daemon puts around the regions.
type sources struct{ r *region.Registry }

func (s sources) Read(principal, id string) (scan.Region, error) {
	g, err := s.r.Read(principal, id)
	if err != nil {
		return nil, transfer.RegionError(err, transfer.SideSource, transfer.PhaseConnect, "n1")
	}
	return g, nil
}

type targets struct {
	r      *region.Registry
	opened func(memory.Writing) memory.Writing // may put something around it
}

func (s targets) Write(ctx context.Context, q memory.Request) (memory.Writing, error) {
	ranges := make([]region.Range, len(q.Ranges))
	for i, x := range q.Ranges {
		ranges[i] = region.Range{Offset: x.Offset, Length: x.Length}
	}
	w, err := s.r.Write(ctx, region.WriteRequest{Principal: q.Principal, ID: q.ID, Ranges: ranges, Transfer: q.Transfer})
	if err != nil {
		return nil, transfer.RegionError(err, transfer.SideTarget, transfer.PhaseConnect, "n2")
	}
	out := memory.Writing(writing{w})
	if s.opened != nil {
		out = s.opened(out)
	}
	return out, nil
}

type writing struct{ *region.Writing }

func (w writing) Commit(c memory.Commit) (uint64, error) {
	n, err := w.Writing.Commit(region.Commit{Digest: c.Digest, Bytes: c.Bytes})
	if err != nil {
		return 0, transfer.RegionError(err, transfer.SideTarget, transfer.PhasePublish, "n2")
	}
	return n, nil
}

// serving returns the target, made at the first call.
func (r *rig) serving(opened func(memory.Writing) memory.Writing) *memory.Target {
	if r.target == nil {
		r.target = memory.New(memory.Config{
			Node: "n2", Incarnation: 1, Regions: targets{r.dst, opened}, MaxIncoming: 4, Draining: func() bool { return r.draining },
			Acceptors: map[string]transport.Acceptor{transport.TCP: r.acceptor}, Order: []string{transport.TCP},
		})
	}
	return r.target
}

// observer keeps the one result.
type observer struct {
	mu     sync.Mutex
	result transfer.Result
	count  int
	landed chan struct{} // gets one when bytes landed
}

func (o *observer) Opened(*transfer.Opened) {}
func (o *observer) Result(r transfer.Result) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.result = r
	o.count++
}
func (o *observer) Progress(p sender.Progress) {
	if p.BytesDone > 0 {
		select {
		case o.landed <- struct{}{}:
		default:
		}
	}
}
func (o *observer) Path(string, transport.Reason, string) {}
func (o *observer) Waiting(*transfer.Error)               {}
func (o *observer) Ready(string)                          {}

// spec is a transfer of pieces to n2, by ann.
func spec(dest string, pieces ...transfer.Piece) transfer.Spec {
	return transfer.Spec{
		Mode: transfer.ModeAssemble, Source: "n1", Target: "n2", Dest: dest, DestMode: transfer.DestExact, Pieces: pieces, Principal: ann,
		Verify: transfer.VerifyWire, Durability: transfer.DurabilityFull, ChunkSize: mib, Streams: 3,
	}
}

// attempt is one edge that is made ready.
type attempt struct {
	*sender.Edge
	obs    *observer
	job    sender.Job
	owner  transfer.TargetLink
	served chan error // of the target's end
}

func (r *rig) job(s transfer.Spec) sender.Job {
	r.epoch++
	return sender.Job{ID: "t", UID: transfer.UID{1}, StateUUID: "s", Epoch: r.epoch, TargetDistinct: true, Spec: s}
}

func (r *rig) config() sender.Config {
	return sender.Config{Node: "n1", Exports: func() *fsroot.Exports { return r.exports }, Pool: r.pool, Regions: sources{r.src}, Dialers: map[string]transport.Dialer{transport.TCP: r.dialer}}
}

func (r *rig) attempt(job sender.Job) *attempt {
	t := r.serving(nil)
	owner, target := transfer.Pipe()
	a := &attempt{obs: &observer{landed: make(chan struct{}, 1)}, job: job, owner: owner, served: make(chan error, 1)}
	r.wg.Go(func() { a.served <- t.Serve(r.ctx, memory.Peer{Node: "n1"}, target) })
	a.Edge = sender.New(r.config(), job, owner, a.obs)
	return a
}

// run runs a transfer to its end.
func (r *rig) run(s transfer.Spec) (transfer.Result, sender.Summary, error) {
	r.t.Helper()
	a := r.attempt(r.job(s))
	sum, err := a.Run(r.ctx)
	_ = a.owner.Close()
	serr := <-a.served
	if err == nil && serr != nil && serr != io.EOF {
		r.t.Errorf("the target says %v", serr)
	}
	return a.obs.result, sum, err
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pattern(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>12)*7 + byte(i)*3 + seed
	}
	return b
}
