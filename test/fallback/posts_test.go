package fallback

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/rdma/rdmatest"
	"github.com/xferd/xferd/region"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/memory"
	"github.com/xferd/xferd/transfer/scan"
	"github.com/xferd/xferd/transfer/sender"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/verbs"
)

const ann = "uid:1001"

// posts is a prepared transfer between two nodes with devices: of all of region a into
// region d.
type posts struct {
	*rig
	sources, targets *region.Registry
	size             int
	from, to         []byte // the memory, as attached programs have it
	results          chan transfer.Result
	ran              chan error
	stop             func() error // waits for the end of the edge
}

type postObserver struct {
	*rig
	results chan transfer.Result
}

func (o postObserver) Result(r transfer.Result) { o.results <- r }

func (r *rig) registry(node string) *region.Registry {
	s, err := store.Open(r.t.Context(), r.t.TempDir(), store.Options{NodeID: node, Cluster: "c", Log: slog.New(slog.DiscardHandler), NoSync: true})
	must(r.t, err)
	reg, err := region.Open(r.t.Context(), region.Config{Store: s, Log: slog.New(slog.DiscardHandler), Boot: "boot"})
	must(r.t, err)
	r.t.Cleanup(func() { check(r.t, reg.Close()); check(r.t, s.Close()) })
	return reg
}

func (r *rig) memory(reg *region.Registry, id string, size int) []byte {
	_, err := reg.Create(r.t.Context(), region.Spec{ID: id, Principal: ann, Size: int64(size)})
	must(r.t, err)
	g, err := reg.Read(ann, id)
	must(r.t, err)
	r.t.Cleanup(func() { check(r.t, g.Close()) })
	return g.Memory()
}

type postSources struct{ r *region.Registry }

func (s postSources) Read(principal, id string) (scan.Region, error) { return s.r.Read(principal, id) }

type postTargets struct{ r *region.Registry }

func (s postTargets) Write(ctx context.Context, q memory.Request) (memory.Writing, error) {
	ranges := make([]region.Range, len(q.Ranges))
	for i, x := range q.Ranges {
		ranges[i] = region.Range{Offset: x.Offset, Length: x.Length}
	}
	w, err := s.r.Write(ctx, region.WriteRequest{Principal: q.Principal, ID: q.ID, Ranges: ranges, Transfer: q.Transfer})
	return postWriting{w}, err
}

type postWriting struct{ *region.Writing }

func (w postWriting) Commit(c memory.Commit) (uint64, error) {
	return w.Writing.Commit(region.Commit{Digest: c.Digest, Bytes: c.Bytes})
}

// newPosts runs a prepared edge over size bytes. RDMA is the first choice.
func newPosts(t *testing.T, size int, l verbs.Limits) *posts {
	r := newRig(t, l)
	p := &posts{rig: r, size: size, sources: r.registry("n1"), targets: r.registry("n2"), results: make(chan transfer.Result, 4), ran: make(chan error, 1)}
	p.from, p.to = r.memory(p.sources, "a", size), r.memory(p.targets, "d", size)
	target := memory.New(memory.Config{
		Node: "n2", Incarnation: 1, Regions: postTargets{p.targets}, Log: slog.New(slog.DiscardHandler),
		Acceptors: r.acceptors, Order: []string{transport.RDMA, transport.TCP},
	})
	t.Cleanup(func() { check(t, target.Close()) })
	r.senders.Regions = postSources{p.sources}
	r.senders.Comeback = 200 * time.Millisecond
	toTarget, toOwner := transfer.Pipe()
	job := sender.Job{ID: "t", UID: transfer.UID{1}, Epoch: 1, TargetDistinct: true, StateUUID: "state", Spec: transfer.Spec{
		Mode: transfer.ModeAssemble, DestMode: transfer.DestExact, Verify: transfer.VerifyWire, Source: "n1", Target: "n2", Dest: "@d", Principal: ann,
		Pieces: []transfer.Piece{{Path: "@a", Length: -1}}, ChunkSize: chunkSize, Streams: 3, Policy: transfer.PolicyAuto, Prepared: true,
	}}
	r.edge = sender.New(r.senders, job, toTarget, postObserver{r, p.results})
	var serving sync.WaitGroup
	serving.Go(func() { _ = target.Serve(context.Background(), memory.Peer{Node: "n1"}, toOwner) })
	go func() {
		_, err := r.edge.Run(context.Background())
		_ = toTarget.Close()
		serving.Wait()
		p.ran <- err
	}()
	p.stop = sync.OnceValue(func() error { return <-p.ran })
	t.Cleanup(func() {
		r.edge.Stop(transfer.EndCancel)
		_ = p.stop()
	})
	return p
}

// step writes a pattern of its own to the source.
func (p *posts) step(n uint64) {
	for at := 0; at+8 <= p.size; at += 4096 {
		binary.LittleEndian.PutUint64(p.from[at:], n<<32|uint64(at))
	}
}

func (p *posts) info() region.Info {
	p.t.Helper()
	i, err := p.targets.Get(ann, "d")
	must(p.t, err)
	return i
}

// post posts step n, and wants it to be there, committed once.
func (p *posts) post(n uint64) {
	p.t.Helper()
	p.step(n)
	p.edge.Post()
	p.answer(n)
}

func (p *posts) answer(n uint64) {
	p.t.Helper()
	select {
	case r := <-p.results:
		if r.Outcome != transfer.OutcomePublished || r.Entry != n || r.Generation != n+1 {
			p.t.Fatalf("post %d: %+v, error %v", n, r, r.Err)
		}
	case err := <-p.ran:
		p.ran <- err
		p.t.Fatalf("post %d: the edge ended with %v", n, err)
	}
	if !bytes.Equal(p.from, p.to) {
		p.t.Fatalf("post %d: other bytes are there", n)
	}
}

func (p *posts) lastPath() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.paths) == 0 {
		return ""
	}
	return p.paths[len(p.paths)-1]
}

// Posts go into the memory by RDMA, over one session, and the ranges are open all
// the time: the source may write at any.
func TestPostsByRDMA(t *testing.T) {
	for _, size := range []int{4096, 5*chunkSize + 4096} {
		p := newPosts(t, size, verbs.Limits{})
		for n := range uint64(50) {
			p.post(n)
			if info := p.info(); info.OpenWrites != 1 || len(info.Torn) != 0 {
				t.Fatalf("after post %d: %+v", n, info)
			}
		}
		p.edge.EndPosts()
		must(t, p.stop())
		if info := p.info(); info.OpenWrites != 0 || len(info.Torn) != 0 || info.Generation != 50 {
			t.Errorf("at the end: %+v", info)
		}
		if want := []string{"rdma "}; !slices.Equal(p.paths, want) || p.by[transport.TCP] != 0 {
			t.Errorf("paths %q, landed %v", p.paths, p.by)
		}
	}
}

// A session that breaks, within a post or between two, costs no post and commits none
// twice: the rest goes by TCP, and later posts by RDMA again.
func TestPostsWhenRDMABreaks(t *testing.T) {
	limits := verbs.Limits{Stall: time.Second, Drain: 100 * time.Millisecond, AckTimeout: 14}
	status := func(s rdma.Status, land rdmatest.Landing) func(*posts) {
		return func(p *posts) { p.a.Inject(rdmatest.SendFault{Index: 1, Override: true, Status: s, Land: land}) }
	}
	for name, fault := range map[string]func(p *posts){
		"acknowledgements are lost":      func(p *posts) { p.fabric.Link(p.b, p.a).Drop() },
		"queue of the source":            func(p *posts) { p.a.BreakCompletionQueues() },
		"queue of the target":            func(p *posts) { p.b.BreakCompletionQueues() },
		"access error":                   status(rdma.RemoteAccessError, rdmatest.LandNothing),
		"retries, and half landed":       status(rdma.RetryExceeded, rdmatest.LandHalf),
		"retries, and everything landed": status(rdma.RetryExceeded, rdmatest.LandAll),
	} {
		t.Run(name, func(t *testing.T) {
			p := newPosts(t, 12*chunkSize, limits)
			n := uint64(0)
			p.post(n)
			p.mu.Lock()
			p.after, p.fault = p.total+3, func() { fault(p) } // in the middle of the next one
			p.mu.Unlock()
			for n++; n < 5; n++ {
				p.post(n)
			}
			if got := p.lastPath(); got == "rdma " && len(p.paths) == 1 {
				t.Errorf("paths %q", p.paths)
			}
			p.fabric.Link(p.b, p.a).Pass()
			p.a.Heal()
			for deadline := time.Now().Add(20 * time.Second); p.lastPath() != "rdma " && time.Now().Before(deadline); n++ {
				p.post(n)
			}
			if got := p.lastPath(); got != "rdma " {
				t.Errorf("it does not come back: paths %q", p.paths)
			}
			fault(p) // while nothing is on its way
			for range 3 {
				p.post(n)
				n++
			}
			p.fabric.Link(p.b, p.a).Pass()
			p.edge.EndPosts()
			must(t, p.stop())
			if info := p.info(); info.OpenWrites != 0 || len(info.Torn) != 0 || info.Generation != n {
				t.Errorf("at the end, after %d posts: %+v", n, info)
			}
		})
	}
}

// However an edge ends that the source can write over by itself: what is still on its
// way then lands nowhere, and the ranges are torn, since only a finish says that
// nothing was. P10.
func TestP10PostsByRDMAEnd(t *testing.T) {
	for name, after := range map[string]int{"before the first byte of a post": 0, "within a post": 2, "between posts": -1} {
		t.Run(name, func(t *testing.T) {
			p := newPosts(t, 12*chunkSize, verbs.Limits{Stall: time.Second, Drain: 100 * time.Millisecond})
			p.post(0)
			way, held := p.fabric.Link(p.a, p.b), make(chan struct{})
			switch {
			case after > 0:
				p.mu.Lock()
				p.after, p.fault = p.total+after, func() { way.Hold(); close(held) }
				p.mu.Unlock()
				p.step(1)
				p.edge.Post()
				<-held
			case after == 0:
				way.Hold()
				p.step(1)
				p.edge.Post()
			}
			p.edge.Stop(transfer.EndCancel)
			if err := p.stop(); transfer.ReasonOf(err) != transfer.Cancelled {
				t.Fatal(err)
			}
			for i := range p.to {
				p.to[i] = 0xCA
			}
			way.Release()
			if !bytes.Equal(p.to, bytes.Repeat([]byte{0xCA}, p.size)) {
				t.Error("bytes landed after the end was told")
			}
			if info := p.info(); info.OpenWrites != 0 || info.Generation != 1 || len(info.Torn) != 1 {
				t.Errorf("%+v", info)
			}
		})
	}
}
