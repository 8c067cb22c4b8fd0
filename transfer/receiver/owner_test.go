package receiver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// source is a file, directory or link of the scripted owner.
type source struct {
	transfer.Entry
	data []byte
}

// owner plays the other end of an edge.
type owner struct {
	t      testing.TB
	g      *rig
	open   *transfer.Open
	link   transfer.TargetLink
	served chan error // what Serve returned

	again   int // WantAgain that serve answered
	sources []source

	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	cond    *sync.Cond
	answers map[uint64]transfer.Answer
	results map[uint64]transfer.Result
	more    []transfer.Result // of deletions, and second ones
	rest    []transfer.ToOwner
	ended   bool
}

var epoch struct {
	sync.Mutex
	n uint64
}

// request is an Open with usual values; change adapts it.
func (g *rig) request(dest string, change ...func(*transfer.Open)) *transfer.Open {
	epoch.Lock()
	epoch.n++
	n := epoch.n
	epoch.Unlock()
	m := &transfer.Open{
		Owner: "n1", ID: "t", UID: transfer.NewUID(), StateUUID: "s1", Epoch: n,
		Mode: transfer.ModeCopy, Dest: g.path(dest), DestMode: transfer.DestExact,
		Options: transfer.Options{Preserve: transfer.PreserveDefault, ChunkSize: testChunk},
	}
	for _, c := range change {
		c(m)
	}
	return m
}

// connect sends the first message and returns the answer to it.
func (g *rig) connect(m *transfer.Open, p Peer) (*owner, transfer.ToOwner) {
	g.t.Helper()
	tl, ol := transfer.Pipe()
	o := &owner{t: g.t, g: g, open: m, link: tl, served: make(chan error, 1), answers: map[uint64]transfer.Answer{}, results: map[uint64]transfer.Result{}}
	o.cond = sync.NewCond(&o.mu)
	o.ctx, o.stop = context.WithCancel(context.Background())
	r := g.Receiver
	go func() { o.served <- r.Serve(o.ctx, p, ol) }()
	o.wg.Go(o.receive)
	o.send(m)
	return o, o.next()
}

// dial opens an edge that must be granted.
func (g *rig) dial(m *transfer.Open) *owner {
	g.t.Helper()
	o, first := g.connect(m, Peer{Node: m.Owner})
	if _, ok := first.(*transfer.Opened); !ok {
		g.t.Fatalf("Open answered by %T %v", first, first)
	}
	if !m.ValidateOnly && !m.Options.DryRun {
		o.send(&transfer.PrepareData{Transports: []string{transport.TCP}, Streams: 2})
		if ready := o.next().(*transfer.DataReady); ready.Err != nil {
			g.t.Fatal(ready.Err)
		}
	}
	return o
}

// refused opens an edge that must not be granted.
func (g *rig) refused(m *transfer.Open, p Peer) *transfer.Error {
	g.t.Helper()
	o, first := g.connect(m, p)
	defer o.close()
	r, ok := first.(*transfer.Refused)
	if !ok {
		g.t.Fatalf("Open answered by %T", first)
	}
	return r.Err
}

func (o *owner) receive() {
	for {
		m, err := o.link.Recv(o.ctx)
		o.mu.Lock()
		if err != nil {
			o.ended = true
			o.cond.Broadcast()
			o.mu.Unlock()
			return
		}
		switch m := m.(type) {
		case *transfer.Answers:
			for _, a := range m.Answers {
				o.answers[a.Entry] = a
			}
		case *transfer.Results:
			for _, r := range m.Results {
				if _, again := o.results[r.Entry]; again || r.Entry == transfer.NoParent {
					o.more = append(o.more, r)
				} else {
					o.results[r.Entry] = r
				}
			}
		default:
			o.rest = append(o.rest, m)
		}
		o.cond.Broadcast()
		o.mu.Unlock()
	}
}

func (o *owner) send(m transfer.ToTarget) {
	if err := o.link.Send(o.ctx, m); err != nil && !errors.Is(err, context.Canceled) {
		o.t.Logf("send %T: %v", m, err)
	}
}

// await waits until fn says so; it fails the test after a long while.
func (o *owner) await(what string, fn func() bool) {
	o.t.Helper()
	timer := time.AfterFunc(time.Minute, func() { o.mu.Lock(); o.ended = true; o.cond.Broadcast(); o.mu.Unlock() })
	defer timer.Stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	for !fn() {
		if o.ended {
			o.t.Fatalf("%s did not come", what)
		}
		o.cond.Wait()
	}
}

// next returns the next message that is neither answers nor results.
func (o *owner) next() (m transfer.ToOwner) {
	o.t.Helper()
	o.await("message", func() bool {
		if len(o.rest) == 0 {
			return false
		}
		m, o.rest = o.rest[0], o.rest[1:]
		return true
	})
	return m
}

func (o *owner) answer(n uint64) (a transfer.Answer) {
	o.t.Helper()
	o.await(fmt.Sprintf("answer %d", n), func() (ok bool) { a, ok = o.answers[n]; delete(o.answers, n); return ok })
	return a
}

func (o *owner) result(n uint64) (r transfer.Result) {
	o.t.Helper()
	o.await(fmt.Sprintf("result %d", n), func() (ok bool) { r, ok = o.results[n]; return ok })
	return r
}

// want checks the outcome of an entry.
func (o *owner) want(n uint64, out transfer.Outcome) transfer.Result {
	o.t.Helper()
	r := o.result(n)
	if r.Outcome != out {
		o.t.Errorf("entry %d (%q): outcome %d, want %d: %v", n, o.sources[n].Name, r.Outcome, out, r.Err)
	}
	return r
}

// fails checks that an entry failed for that reason.
func (o *owner) fails(n uint64, reason transfer.Reason) {
	o.t.Helper()
	if r := o.want(n, transfer.OutcomeFailed); transfer.ReasonOf(r.Err) != reason {
		o.t.Errorf("entry %d: %v, want %s", n, r.Err, reason)
	}
}

func (o *owner) close() {
	o.link.Close()
	o.stop()
	<-o.served
	o.wg.Wait()
}

// announce numbers sources and sends them.
func (o *owner) announce(list ...source) []uint64 {
	var numbers []uint64
	var entries []transfer.Entry
	for _, s := range list {
		s.Number = uint64(len(o.sources))
		o.sources = append(o.sources, s)
		numbers = append(numbers, s.Number)
		entries = append(entries, s.Entry)
	}
	o.send(&transfer.Entries{Entries: entries})
	return numbers
}

func (o *owner) sink() transport.Sink {
	o.g.acc.mu.Lock()
	defer o.g.acc.mu.Unlock()
	return o.g.acc.sinks[o.open.UID]
}

// extent makes the arrival of one extent of a source.
func (o *owner) extent(n uint64, off int64) transport.Arrival {
	s := &o.sources[n]
	x := transfer.ExtentRange(off/testChunk, s.Size, testChunk)
	data := s.data[x.Offset:x.End()]
	return transport.Arrival{
		ExtentHeader: transport.ExtentHeader{Entry: n, Offset: x.Offset, Length: x.Length, Segments: []transport.Range{x}, Final: x.Length == s.Size},
		Code:         transport.Placed, Digest: xxh3.Hash128(data).Bytes(),
	}
}

// land plays a transport that delivers these extents as one chunk.
func (o *owner) land(arrivals ...transport.Arrival) []transport.Verdict {
	o.t.Helper()
	sink := o.sink()
	headers := make([]transport.ExtentHeader, len(arrivals))
	for i := range arrivals {
		headers[i] = arrivals[i].ExtentHeader
	}
	landings, err := sink.Place(o.ctx, 1, headers)
	if err != nil {
		o.t.Fatalf("place: %v", err)
	}
	for i := range arrivals {
		a, s := &arrivals[i], &o.sources[arrivals[i].Entry]
		switch {
		case landings[i].Refuse != nil:
			a.Code, a.Err = transport.Refused, landings[i].Refuse
		case landings[i].File != nil:
			for _, seg := range a.Segments {
				if _, err := landings[i].File.WriteAt(s.data[seg.Offset:seg.End()], seg.Offset); err != nil {
					a.Code, a.Err = transport.Refused, err
				}
			}
		default:
			for _, seg := range a.Segments {
				a.Mem = append(a.Mem, s.data[seg.Offset:seg.End()]...)
			}
		}
	}
	return sink.Landed(o.ctx, 1, arrivals)
}

// sendRange lands everything of a range and says whether all was placed.
func (o *owner) sendRange(n uint64, r transport.Range) bool {
	o.t.Helper()
	ok := true
	for off := r.Offset; off < r.End(); off += testChunk {
		for _, v := range o.land(o.extent(n, off)) {
			ok = ok && v.Code == transport.Placed
		}
	}
	return ok
}

// digests are those of a source's extents.
func (o *owner) digests(n uint64) (list []transport.Digest) {
	s := &o.sources[n]
	for i := range transfer.Extents(s.Size, testChunk) {
		x := transfer.ExtentRange(i, s.Size, testChunk)
		list = append(list, xxh3.Hash128(s.data[x.Offset:x.End()]).Bytes())
	}
	return list
}

// serve answers whatever the target asks for until every entry has its result.
func (o *owner) serve() {
	o.t.Helper()
	for {
		var a transfer.Answer
		var all, got bool
		o.await("all results", func() bool {
			all = len(o.results) == len(o.sources)
			for _, a = range o.answers {
				got = true
				delete(o.answers, a.Entry)
				break
			}
			return all || got
		})
		if !got {
			return
		}
		s := &o.sources[a.Entry]
		switch a.Want {
		case transfer.WantDigests:
			o.send(&transfer.EntryDigests{Entry: a.Entry, Digests: o.digests(a.Entry)})
			continue
		case transfer.WantAgain:
			o.again++
			o.send(&transfer.EntryRestart{Entry: s.Entry})
			continue
		case transfer.WantAll:
			a.Ranges = []transport.Range{{Length: s.Size}}
		}
		ok := true
		for _, r := range a.Ranges {
			ok = o.sendRange(a.Entry, r) && ok
		}
		if ok && (s.Size > testChunk || a.Want == transfer.WantRanges) {
			o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: a.Entry, Digest: transfer.FileDigest(testChunk, s.Size, o.digests(a.Entry))}}})
		}
	}
}

// finish ends the transfer and returns the last message.
func (o *owner) finish() *transfer.Finished {
	o.t.Helper()
	o.send(&transfer.ScanDone{Entries: uint64(len(o.sources))})
	o.send(&transfer.Finish{})
	return o.finished()
}

func (o *owner) finished() *transfer.Finished {
	o.t.Helper()
	m := o.next()
	fin, ok := m.(*transfer.Finished)
	if !ok {
		o.t.Fatalf("%T %v instead of Finished", m, m)
	}
	o.close()
	return fin
}

func (o *owner) abort(end transfer.End) {
	o.t.Helper()
	o.send(&transfer.Abort{End: end})
	if fin := o.finished(); fin.Err != nil {
		o.t.Error(fin.Err)
	}
}

// copyAll announces, sends and finishes.
func (g *rig) copyAll(m *transfer.Open, list ...source) (*owner, *transfer.Finished) {
	g.t.Helper()
	o := g.dial(m)
	o.announce(list...)
	o.serve()
	return o, o.finish()
}
