package lifecycle

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/test/bubble"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/sender"
	"github.com/xferd/xferd/transport"
)

// fakeEdge ends when the test says so, or when it is stopped.
type fakeEdge struct {
	job  sender.Job
	obs  sender.Observer
	end  chan func() (sender.Summary, error)
	stop chan transfer.End
	once sync.Once
	rate int64
	// Of a prepared one.
	posts    chan struct{} // gets one for each Post
	endPosts chan struct{} // and for EndPosts
}

func (f *fakeEdge) Run(ctx context.Context) (sender.Summary, error) {
	select {
	case f := <-f.end:
		return f()
	case end := <-f.stop:
		return sender.Summary{Confirmed: end}, &transfer.Error{Reason: transfer.Cancelled, Err: errors.New(string(rune('0' + end)))}
	case <-ctx.Done():
		return sender.Summary{}, ctx.Err()
	}
}

func (f *fakeEdge) Stop(end transfer.End) { f.once.Do(func() { f.stop <- end }) }
func (f *fakeEdge) SetMaxRate(n int64)    { f.rate = n }

// fakePeers gives links that nobody reads, or that serve reads, or errors.
type fakePeers struct {
	mu     sync.Mutex
	err    error
	opens  int
	joined chan struct{}
	serve  func(transfer.OwnerLink)
}

func (p *fakePeers) Check(transfer.NodeID) error { return nil }
func (p *fakePeers) Joined() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.joined
}

// join lets the target be there, and tells so.
func (p *fakePeers) join() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = nil
	if p.joined != nil {
		close(p.joined)
	}
	p.joined = make(chan struct{})
}

func (p *fakePeers) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func (p *fakePeers) OpenTarget(context.Context, transfer.NodeID) (transfer.TargetLink, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opens++
	l, theirs := transfer.Pipe()
	if p.err == nil && p.serve != nil {
		go p.serve(theirs)
	}
	return l, p.err
}

type rig struct {
	t     *testing.T
	dir   string
	e     *Engine
	peers *fakePeers
	edges chan *fakeEdge
	stop  func()
}

// newRig must be called inside a synctest bubble; stop ends the engine.
func newRig(t *testing.T, dir string) *rig { return newRigLimit(t, dir, 4) }

func newRigLimit(t *testing.T, dir string, limit int) *rig {
	t.Helper()
	return newRigPeers(t, dir, limit, &fakePeers{joined: make(chan struct{})})
}

func newRigPeers(t *testing.T, dir string, limit int, peers *fakePeers) *rig {
	t.Helper()
	r := &rig{t: t, dir: dir, peers: peers, edges: make(chan *fakeEdge, 100)}
	s, err := store.Open(t.Context(), filepath.Join(dir, "state"), store.Options{NodeID: "n1", NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "f"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	x, err := fsroot.OpenExports([]fsroot.Export{{Path: data, Mode: fsroot.ReadWrite}})
	if err != nil {
		t.Fatal(err)
	}
	r.e, err = New(t.Context(), Config{
		Node: "n1", Store: s, Peers: r.peers, Exports: func() *fsroot.Exports { return x },
		Draining: func() bool { return false }, Log: slog.New(slog.DiscardHandler),
		NewEdge: func(job sender.Job, _ transfer.TargetLink, obs sender.Observer) Edge {
			f := &fakeEdge{job: job, obs: obs, end: make(chan func() (sender.Summary, error), 1), stop: make(chan transfer.End, 1), posts: make(chan struct{}, 9), endPosts: make(chan struct{}, 9)}
			r.edges <- f
			return f
		},
		Limits: Limits{MaxRunning: limit, MaxQueued: 5},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.e.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	r.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		_ = s.Close()
		_ = x.Close()
	})
	return r
}

func (r *rig) submission(id string) transfer.Submission {
	return transfer.Submission{ID: id, Same: [32]byte{1}, Spec: transfer.Spec{
		Mode: transfer.ModeCopy, Source: "n1", Target: "n2", Dest: "/x", DestMode: transfer.DestExact, Principal: "uid:0",
		Sources: []transfer.Source{{Path: filepath.Join(r.dir, "data", "f")}},
	}}
}

func (r *rig) submit(id string) transfer.Transfer {
	r.t.Helper()
	t, existed, err := r.e.Submit(r.t.Context(), r.submission(id))
	if err != nil || existed {
		r.t.Fatalf("submit: existed %v, %v", existed, err)
	}
	return t
}

func (r *rig) state(id string) transfer.State {
	r.t.Helper()
	t, err := r.e.Get(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return t.State
}

func (r *rig) want(id string, s transfer.State) {
	r.t.Helper()
	synctest.Wait()
	if got := r.state(id); got != s {
		r.t.Fatalf("state %s, want %s", got, s)
	}
}

func good() (sender.Summary, error) { return sender.Summary{}, nil }

func lost() (sender.Summary, error) {
	return sender.Summary{}, &transfer.Error{Reason: transfer.PeerLost, Err: errors.New("gone")}
}

// inBubble runs f in a bubble with a directory that outlives it.
func inBubble(t *testing.T, f func(t *testing.T, dir string)) {
	dir := t.TempDir()
	bubble.Test(t, func(t *testing.T) { f(t, dir) })
}

func TestSubmitRunsToSuccess(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		defer r.stop()
		r.submit("a")
		edge := <-r.edges
		r.want("a", transfer.StateRunning)
		edge.obs.Result(transfer.Result{Entry: 0, Path: "f", Kind: transfer.KindFile, Outcome: transfer.OutcomePublished, Bytes: 1})
		edge.obs.Progress(sender.Progress{Entries: 1, Files: 1, Bytes: 1, ScanDone: true, BytesDone: 1})
		edge.end <- good
		r.want("a", transfer.StateSucceeded)
		got, _ := r.e.Get(t.Context(), "a")
		if got.Counters.FilesCopied != 1 || got.Counters.BytesDone != 1 || got.Ended.IsZero() || got.Err != nil {
			t.Errorf("ended as %+v", got)
		}
		res, next, err := r.e.Entries(t.Context(), "a", transfer.EntryQuery{}, 0, 10)
		if err != nil || next != 0 || len(res) != 1 || res[0].Path != "f" {
			t.Errorf("entries %v, %d, %v", res, next, err)
		}
	})
}

// Bytes are counted for the transport that they went by.
func TestBytesOfEachTransport(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		defer r.stop()
		r.submit("a")
		edge := <-r.edges
		moved := func(n int64) {
			edge.obs.Progress(sender.Progress{Entries: 1, Files: 1, Bytes: 25, ScanDone: true, Stats: transport.Stats{Bytes: n}})
		}
		edge.obs.Path(transport.RDMA, "", "")
		moved(4)
		moved(10)
		edge.obs.Path(transport.TCP, transport.QPError, "the cause")
		moved(25)
		edge.obs.Result(transfer.Result{Entry: 0, Path: "f", Kind: transfer.KindFile, Outcome: transfer.OutcomePublished, Bytes: 25})
		edge.end <- good
		r.want("a", transfer.StateSucceeded)
		got, _ := r.e.Get(t.Context(), "a")
		if m := got.Counters.BytesMoved; m[transport.RDMA] != 10 || m[transport.TCP] != 15 {
			t.Errorf("moved %v", m)
		}
		if f := got.Path.Fallbacks; len(f) != 1 || f[0].From != transport.RDMA || f[0].To != transport.TCP || f[0].Reason != transport.QPError || f[0].Detail != "the cause" {
			t.Errorf("changes of transport: %+v", f)
		}
	})
}

// P4: one id is one transfer, whatever its state, also after a restart; another
// spec under it is refused.
func TestP4SameIDIsOneTransfer(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		first := r.submit("a")
		(<-r.edges).end <- good
		r.want("a", transfer.StateSucceeded)
		for range 2 {
			again, existed, err := r.e.Submit(t.Context(), r.submission("a"))
			if err != nil || !existed || again.UID != first.UID {
				t.Fatalf("again: %v %v %v", again.UID, existed, err)
			}
			other := r.submission("a")
			other.Same = [32]byte{2}
			if _, _, err := r.e.Submit(t.Context(), other); transfer.ReasonOf(err) != transfer.RequestIDReused {
				t.Fatalf("another spec: %v", err)
			}
			r.stop()
			r = newRig(t, dir)
		}
		r.stop()
	})
}

// P4: a hundred submissions of one id at once are one transfer.
func TestP4ConcurrentSubmits(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		defer r.stop()
		var wg sync.WaitGroup
		uids := make([]transfer.UID, 100)
		for i := range uids {
			wg.Go(func() {
				got, _, err := r.e.Submit(t.Context(), r.submission("a"))
				if err != nil {
					t.Error(err)
				}
				uids[i] = got.UID
			})
		}
		wg.Wait()
		for _, u := range uids {
			if u != uids[0] || u == (transfer.UID{}) {
				t.Fatal("several transfers of one id")
			}
		}
		(<-r.edges).end <- good
		r.want("a", transfer.StateSucceeded)
	})
}

// P3: what was submitted is there after a restart and runs again, as a new
// attempt with a higher epoch.
func TestP3RestartGoesOn(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		r := newRig(t, dir)
		r.submit("a")
		first := <-r.edges
		r.want("a", transfer.StateRunning)
		first.obs.Result(transfer.Result{Path: "f", Kind: transfer.KindFile, Outcome: transfer.OutcomePublished, Bytes: 1})
		r.stop()

		r = newRig(t, dir)
		defer r.stop()
		second := <-r.edges
		if second.job.Epoch <= first.job.Epoch || second.job.UID != first.job.UID {
			t.Fatalf("second attempt has epoch %d after %d", second.job.Epoch, first.job.Epoch)
		}
		// The second attempt finds what the first one published.
		second.obs.Result(transfer.Result{Path: "f", Kind: transfer.KindFile, Outcome: transfer.OutcomeSame})
		second.end <- good
		r.want("a", transfer.StateSucceeded)
		got, _ := r.e.Get(t.Context(), "a")
		if got.Counters.FilesSame != 0 || got.Counters.FilesCopied != 1 {
			t.Errorf("a file of the first attempt is not counted once: %+v", got.Counters)
		}
		res, _, err := r.e.Entries(t.Context(), "a", transfer.EntryQuery{}, 0, 10)
		if err != nil || len(res) != 1 || res[0].Outcome != transfer.OutcomePublished {
			t.Errorf("entries %v, %v", res, err)
		}
	})
}
