package receiver

import (
	"context"
	"errors"
	"testing"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

func (s *source) whole() transport.Range { return transport.Range{Length: s.Size} }

func TestBadNamesFailAlone(t *testing.T) {
	g := newRig(t)
	list := []source{dir(root, "")}
	names := []string{"..", ".", "", "a/b", "/etc/passwd", "nul\x00", ".xferd.x", string(make([]byte, 256))}
	for _, n := range names {
		list = append(list, regular(0, n, []byte("x")))
	}
	o, _ := g.copyAll(g.request("d"), append(list, regular(0, "good", []byte("x")), endDir(0))...)
	for i, n := range names {
		reason := transfer.BadPath
		if n == ".xferd.x" {
			reason = transfer.ReservedName
		}
		o.fails(uint64(i+1), reason)
	}
	g.wantFile("d/good", []byte("x"))
	g.wantClean()
}

func TestP7NothingThroughALinkOfThePeer(t *testing.T) {
	g := newRig(t)
	out := t.TempDir()
	o, _ := g.copyAll(g.request("d"), dir(root, ""), symlink(0, "a", out), regular(1, "passwd", []byte("x")), regular(0, "f", nil), regular(3, "g", nil), endDir(0))
	o.want(1, transfer.OutcomePublished)
	o.fails(2, transfer.PathEscapesRoot)
	o.fails(4, transfer.PathEscapesRoot)
	if exists(out + "/passwd") {
		t.Error("written outside")
	}
	g.wantClean()
}

func TestProtocolErrors(t *testing.T) {
	entry := func(n uint64) transfer.Entry { s := regular(root, "", nil); s.Number = n; return s.Entry }
	tests := map[string]func(o *owner){
		"number":       func(o *owner) { o.send(&transfer.Entries{Entries: []transfer.Entry{entry(1)}}) },
		"open twice":   func(o *owner) { o.send(o.open) },
		"finish early": func(o *owner) { o.send(&transfer.Finish{}) },
		"scan count":   func(o *owner) { o.send(&transfer.ScanDone{Entries: 5}) },
		"end":          func(o *owner) { o.send(&transfer.Abort{End: 77}) },
		"entries after": func(o *owner) {
			o.send(&transfer.ScanDone{})
			o.send(&transfer.Entries{Entries: []transfer.Entry{entry(0)}})
		},
		"beyond credits": func(o *owner) { o.send(&transfer.Entries{Entries: make([]transfer.Entry, 0)}); many(o) },
		"finish with entries left": func(o *owner) {
			o.announce(regular(root, "", []byte("x")))
			o.send(&transfer.ScanDone{Entries: 1})
			o.send(&transfer.Finish{})
		},
	}
	for name, play := range tests {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, func(c *Config) { c.Credits = 4 })
			o := g.dial(g.request("f"))
			play(o)
			m, ok := o.next().(*transfer.Refused)
			if !ok || m.Err.Reason != transfer.ProtocolError {
				t.Fatalf("%T %v", m, m)
			}
			err := <-o.served
			o.served <- err
			if transfer.ReasonOf(err) != transfer.ProtocolError {
				t.Errorf("served: %v", err)
			}
			o.close()
			g.wantNoTemps()
		})
	}
}

func many(o *owner) {
	list := []source{dir(root, "")}
	for range 4 {
		list = append(list, regular(0, "f", []byte("x")))
	}
	o.announce(list...)
}

func TestBadExtents(t *testing.T) {
	g := newRig(t)
	o := g.dial(g.request("f"))
	o.announce(regular(root, "", pattern(2*testChunk+10, 1)))
	o.answer(0)
	for name, h := range map[string]transport.ExtentHeader{
		"entry":    {Entry: 1, Length: testChunk},
		"off grid": {Offset: 5, Length: testChunk},
		"short":    {Length: testChunk - 1},
		"long":     {Length: 2 * testChunk},
		"past end": {Offset: 3 * testChunk, Length: testChunk},
		"negative": {Offset: -testChunk, Length: testChunk},
		"empty":    {},
		"overflow": {Offset: 1<<62 - testChunk + 1<<62, Length: testChunk},
	} {
		if _, err := o.sink().Place(t.Context(), 1, []transport.ExtentHeader{o.extent(0, 0).ExtentHeader, h}); err == nil {
			t.Errorf("%s: placed", name)
		}
	}
	// The leases of the good ones that came along are back: they land.
	if v := o.land(o.extent(0, 0)); v[0].Code != transport.Placed {
		t.Errorf("%+v", v)
	}
	// Once more, the same and other bytes.
	if v := o.land(o.extent(0, 0)); v[0].Code != transport.Placed {
		t.Errorf("again: %+v", v)
	}
	a := o.extent(0, 0)
	a.Digest = transport.Digest{1}
	if v := o.land(a); v[0].Code != transport.Refused {
		t.Errorf("other bytes: %+v", v)
	}
	o.sendRange(0, o.sources[0].whole())
	o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 0}}})
	o.want(0, transfer.OutcomePublished)
	// And after the file is published: taken, and nothing comes of it.
	if v := o.land(o.extent(0, 0)); v[0].Code != transport.Placed {
		t.Errorf("after the end: %+v", v)
	}
	o.finish()
	g.wantFile("f", o.sources[0].data)
	g.wantClean()
}

func TestExtentThatIsUnderWayIsRefusedAlone(t *testing.T) {
	g := newRig(t)
	o := g.dial(g.request("f"))
	o.announce(regular(root, "", pattern(2*testChunk, 1)))
	o.answer(0)
	first := o.extent(0, 0)
	landings, err := o.sink().Place(t.Context(), 1, []transport.ExtentHeader{first.ExtentHeader})
	if err != nil {
		t.Fatal(err)
	}
	if v := o.land(o.extent(0, 0)); v[0].Code != transport.Refused {
		t.Errorf("%+v", v)
	}
	if _, err := landings[0].File.WriteAt(o.sources[0].data[:testChunk], 0); err != nil {
		t.Fatal(err)
	}
	if v := o.sink().Landed(t.Context(), 1, []transport.Arrival{first}); v[0].Code != transport.Placed {
		t.Errorf("%+v", v)
	}
	o.sendRange(0, transport.Range{Offset: testChunk, Length: testChunk})
	o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 0}}})
	o.want(0, transfer.OutcomePublished)
	o.finish()
	g.wantFile("f", o.sources[0].data)
	g.wantClean()
}

func TestFenceAndAgain(t *testing.T) {
	g := newRig(t)
	o := g.dial(g.request("f"))
	o.announce(regular(root, "", pattern(3*testChunk, 1)))
	o.answer(0)
	o.sendRange(0, transport.Range{Length: testChunk})
	// An extent is on its way when the data plane is fenced, and is never told of.
	if _, err := o.sink().Place(t.Context(), 1, []transport.ExtentHeader{o.extent(0, testChunk).ExtentHeader}); err != nil {
		t.Fatal(err)
	}
	o.send(&transfer.FenceData{})
	if _, ok := o.next().(*transfer.DataFenced); !ok {
		t.Fatal("not fenced")
	}
	o.send(&transfer.PrepareData{Transports: []string{"rdma", transport.TCP}, Streams: 1})
	if m := o.next().(*transfer.DataReady); m.Err != nil {
		t.Fatal(m.Err)
	}
	o.sendRange(0, o.sources[0].whole())
	o.send(&transfer.EntriesDone{Done: []transfer.EntryDone{{Entry: 0}}})
	o.want(0, transfer.OutcomePublished)
	fin := o.finish()
	if fin.Stats.Chunks != 2 {
		t.Errorf("stats of both data planes: %+v", fin.Stats)
	}
	g.wantFile("f", o.sources[0].data)
	g.wantClean()
}

func TestNoTransport(t *testing.T) {
	g := newRig(t)
	o := g.dial(g.request("f"))
	o.send(&transfer.PrepareData{Transports: []string{"rdma", transport.Local}})
	if m := o.next().(*transfer.DataReady); transfer.ReasonOf(m.Err) != transfer.Unsupported {
		t.Errorf("%v", m.Err)
	}
	o.abort(transfer.EndPurge)
	g.wantClean()
}

func TestOwnerGoesAway(t *testing.T) {
	g := newRig(t)
	o := g.dial(g.request("f"))
	o.announce(regular(root, "", pattern(10, 1)))
	o.answer(0)
	o.link.Close()
	err := <-o.served
	o.served <- err
	if transfer.ReasonOf(err) != transfer.OwnerUnreachable {
		t.Errorf("%v", err)
	}
	o.close()
	g.wantNoTemps()
	if in := g.Incoming(); len(in) != 1 || in[0].Running {
		t.Errorf("the lock stays: %+v", in)
	}
}

func TestCloseEndsEdges(t *testing.T) {
	g := newRig(t)
	o := g.dial(g.request("f"))
	g.Receiver.Close()
	err := <-o.served
	o.served <- err
	if transfer.ReasonOf(err) != transfer.NodeStopping {
		t.Errorf("%v", err)
	}
	o.close()
	if _, first := g.connect(g.request("f"), Peer{}); transfer.ReasonOf(first.(*transfer.Refused).Err) != transfer.NodeStopping {
		t.Errorf("%v", first)
	}
}

func TestFirstMessage(t *testing.T) {
	g := newRig(t)
	tl, ol := transfer.Pipe()
	done := make(chan error, 1)
	go func() { done <- g.Serve(context.Background(), Peer{}, ol) }()
	if err := tl.Send(t.Context(), &transfer.Finish{}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; transfer.ReasonOf(err) != transfer.ProtocolError {
		t.Errorf("%v", err)
	}
	tl, ol = transfer.Pipe()
	tl.Close()
	if err := g.Serve(context.Background(), Peer{}, ol); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}
