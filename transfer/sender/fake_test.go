package sender

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// fakeTarget is a target that keeps what lands in memory. Its fields are hooks;
// they are set before the edge runs.
type fakeTarget struct {
	t    testing.TB
	link transfer.OwnerLink

	opened     transfer.Opened
	refuse     *transfer.Error
	answer     func(en *transfer.Entry) *transfer.Answer // nil: all of it
	onDigests  func(m *transfer.EntryDigests) *transfer.Answer
	verdict    func(x *transport.Extent, try int) transport.Verdict // Code 0: land it
	breakAfter func(session, chunk int) bool                        // ends the session before that chunk's answer
	landed     func(m *transfer.FenceData) []transfer.LandedExtent  // nil: nothing
	prepare    func(n int, m *transfer.PrepareData) *transfer.DataReady
	dial       func(n int) error
	mute       bool // after Opened
	finished   transfer.Finished
	ending     func()                        // before the answer to Abort
	onFinish   func()                        // instead of the answer to Finish
	onDone     func(entry uint64) bool       // no result, of an entry that has all its bytes
	held       func(en *transfer.Entry) bool // no result before release is closed
	release    chan struct{}

	mu       sync.Mutex
	got      []transfer.ToTarget // all but Entries
	manifest []transfer.Entry
	content  map[uint64][]byte
	tries    map[[2]int64]int // of extents
	sent     map[[2]int64]int // extents that landed
	ended    map[uint64]bool
	most     int // outstanding at a time
	out      int
	sessions int
	prepared int
	finals   int
	done     map[uint64]transport.Digest
	chunks   int
	batches  int
	wg       sync.WaitGroup
	cancel   context.CancelFunc
}

func newFakeTarget(t testing.TB) (*fakeTarget, transfer.TargetLink) {
	owner, target := transfer.Pipe()
	f := &fakeTarget{
		t: t, link: target,
		opened:  transfer.Opened{Node: "n2", Credits: 1000, Transports: []string{transport.TCP}},
		content: map[uint64][]byte{}, tries: map[[2]int64]int{}, sent: map[[2]int64]int{}, ended: map[uint64]bool{},
		done: map[uint64]transport.Digest{}, release: make(chan struct{}),
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	f.wg.Go(func() { f.run(ctx) })
	return f, owner
}

func (f *fakeTarget) close() {
	f.cancel()
	f.link.Close()
	f.wg.Wait()
}

func (f *fakeTarget) send(m transfer.ToOwner) { _ = f.link.Send(context.Background(), m) }

func (f *fakeTarget) run(ctx context.Context) {
	for {
		m, err := f.link.Recv(ctx)
		if err != nil {
			return
		}
		f.mu.Lock()
		if _, ok := m.(*transfer.Entries); !ok {
			f.got = append(f.got, m)
		}
		f.mu.Unlock()
		if _, opening := m.(*transfer.Open); f.mute && !opening {
			continue
		}
		f.handle(m)
	}
}

func (f *fakeTarget) handle(m transfer.ToTarget) {
	switch m := m.(type) {
	case *transfer.Open:
		if f.refuse != nil {
			f.send(&transfer.Refused{Err: f.refuse})
			return
		}
		f.send(&f.opened)
	case *transfer.Entries:
		f.entries(m.Entries)
	case *transfer.EntryRestart:
		f.mu.Lock()
		f.content[m.Entry.Number] = make([]byte, m.Entry.Size)
		f.manifest[m.Entry.Number] = m.Entry
		f.mu.Unlock()
		f.respond(&m.Entry)
	case *transfer.EntriesDone:
		for _, d := range m.Done {
			f.mu.Lock()
			f.done[d.Entry] = d.Digest
			f.mu.Unlock()
			if f.onDone != nil && f.onDone(d.Entry) {
				continue
			}
			f.result(transfer.Result{Entry: d.Entry, Outcome: transfer.OutcomePublished, Digest: d.Digest})
		}
	case *transfer.EntryGiveUp:
		f.result(transfer.Result{Entry: m.Entry, Outcome: transfer.OutcomeFailed, Err: m.Err})
	case *transfer.EntryDigests:
		if f.onDigests != nil { // else the owner's end is on its way
			f.send(&transfer.Answers{Answers: []transfer.Answer{*f.onDigests(m)}})
		}
	case *transfer.PrepareData:
		f.mu.Lock()
		f.prepared++
		n := f.prepared
		f.mu.Unlock()
		ready := &transfer.DataReady{Grant: transport.Grant{Transport: m.Transports[0]}}
		if f.prepare != nil {
			ready = f.prepare(n, m)
		}
		f.send(ready)
	case *transfer.FenceData:
		fenced := &transfer.DataFenced{}
		if f.landed != nil {
			fenced.Landed = f.landed(m)
		}
		f.send(fenced)
	case *transfer.Ping:
		f.send(&transfer.Pong{Seq: m.Seq})
	case *transfer.Abort:
		f.wg.Go(func() { // pings are answered meanwhile
			if f.ending != nil {
				f.ending()
			}
			f.send(&f.finished)
		})
	case *transfer.Finish:
		if f.onFinish != nil {
			f.onFinish()
			return
		}
		f.send(&f.finished)
	}
}

func (f *fakeTarget) entries(all []transfer.Entry) {
	f.mu.Lock()
	f.batches++
	for i := range all {
		if all[i].Number != uint64(len(f.manifest)) {
			f.t.Errorf("entry %d comes as number %d", all[i].Number, len(f.manifest))
		}
		f.manifest = append(f.manifest, all[i])
		f.content[all[i].Number] = make([]byte, all[i].Size)
		f.out++
		f.most = max(f.most, f.out)
	}
	f.mu.Unlock()
	for i := range all {
		f.respond(&all[i])
	}
}

func (f *fakeTarget) respond(en *transfer.Entry) {
	if f.held != nil && f.held(en) {
		n := en.Number
		f.wg.Go(func() {
			<-f.release
			f.result(transfer.Result{Entry: n, Outcome: transfer.OutcomeSame})
		})
		return
	}
	if en.Kind != transfer.KindFile || en.Size == 0 && f.answer == nil {
		f.result(transfer.Result{Entry: en.Number, Outcome: transfer.OutcomePublished})
		return
	}
	a := &transfer.Answer{Entry: en.Number, Want: transfer.WantAll}
	if f.answer != nil {
		if a = f.answer(en); a == nil {
			f.result(transfer.Result{Entry: en.Number, Outcome: transfer.OutcomeSame})
			return
		}
	}
	f.send(&transfer.Answers{Answers: []transfer.Answer{*a}})
}

func (f *fakeTarget) result(r transfer.Result) {
	f.mu.Lock()
	if f.ended[r.Entry] {
		f.mu.Unlock()
		return
	}
	f.ended[r.Entry] = true
	f.out--
	f.mu.Unlock()
	f.send(&transfer.Results{Results: []transfer.Result{r}})
}

// find returns the entry of a name.
func (f *fakeTarget) find(name string) *transfer.Entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.manifest {
		if f.manifest[i].Name == name && f.manifest[i].Kind != transfer.KindEndDir {
			return &f.manifest[i]
		}
	}
	f.t.Fatalf("no entry %q", name)
	return nil
}

func (f *fakeTarget) wantContent(name string, want []byte) {
	f.t.Helper()
	en := f.find(name)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !bytes.Equal(f.content[en.Number], want) {
		f.t.Errorf("%q has %d bytes that differ from the source's %d", name, len(f.content[en.Number]), len(want))
	}
}

// landings counts the extents that landed.
func (f *fakeTarget) landings() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, times := range f.sent {
		n += times
	}
	return n
}

// count tells how many messages of a kind came.
func count[T transfer.ToTarget](f *fakeTarget) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.got {
		if _, ok := m.(T); ok {
			n++
		}
	}
	return n
}

// recorder is an Observer that remembers.
type recorder struct {
	mu       sync.Mutex
	results  map[string]transfer.Result
	twice    []string
	progress Progress
	paths    []string
	details  []string
	opened   *transfer.Opened
	waited   []transfer.Reason
	onResult func(transfer.Result)
}

func (r *recorder) Ready(string) {}

func (r *recorder) Waiting(err *transfer.Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waited = append(r.waited, transfer.ReasonOf(asCause(err)))
}
func asCause(err *transfer.Error) error {
	if err == nil {
		return nil
	}
	return err
}
func (r *recorder) Opened(o *transfer.Opened) { r.opened = o }
func (r *recorder) Path(name string, why transport.Reason, detail string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.details = append(r.details, detail)
	r.paths = append(r.paths, fmt.Sprintf("%s %s", name, why))
}
func (r *recorder) Progress(p Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress = p
}
func (r *recorder) Result(x transfer.Result) {
	r.mu.Lock()
	if r.results == nil {
		r.results = map[string]transfer.Result{}
	}
	if _, ok := r.results[x.Path]; ok && x.Kind != transfer.KindEndDir {
		r.twice = append(r.twice, x.Path)
	}
	if x.Kind != transfer.KindEndDir {
		r.results[x.Path] = x
	}
	hook := r.onResult
	r.mu.Unlock()
	if hook != nil {
		hook(x)
	}
}
