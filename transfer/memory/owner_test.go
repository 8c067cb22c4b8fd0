package memory_test

import (
	"context"
	"testing"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/memory"
	"github.com/xferd/xferd/transport"
)

// hand is an owner that says what a test tells it to.
type hand struct {
	t      *testing.T
	r      *rig
	link   transfer.TargetLink
	served chan error
}

func (r *rig) hand(p memory.Peer) *hand {
	return r.handOf(r.serving(nil), p)
}

func (r *rig) handOf(t *memory.Target, p memory.Peer) *hand {
	owner, target := transfer.Pipe()
	h := &hand{t: r.t, r: r, link: owner, served: make(chan error, 1)}
	r.wg.Go(func() { h.served <- t.Serve(r.ctx, p, target) })
	r.t.Cleanup(func() { owner.Close() })
	return h
}

func (h *hand) say(list ...transfer.ToTarget) {
	h.t.Helper()
	for _, m := range list {
		if err := h.link.Send(h.r.ctx, m); err != nil {
			h.t.Fatalf("send %T: %v", m, err)
		}
	}
}

// hear returns the next message, which is a T.
func hear[T transfer.ToOwner](h *hand) T {
	h.t.Helper()
	m, err := h.link.Recv(h.r.ctx)
	if err != nil {
		h.t.Fatalf("receive: %v", err)
	}
	x, ok := m.(T)
	if !ok {
		h.t.Fatalf("received %T %+v", m, m)
	}
	return x
}

// open is a first message that is right.
func open(dest string, epoch uint64, ranges ...transport.Range) *transfer.Open {
	return &transfer.Open{
		Owner: "n1", ID: "t", UID: transfer.UID{1}, StateUUID: "s", Epoch: epoch, Principal: ann, Mode: transfer.ModeAssemble,
		Dest: dest, DestMode: transfer.DestExact, Ranges: ranges,
		Options: transfer.Options{ChunkSize: mib, Streams: 2, Verify: transfer.VerifyWire},
	}
}

// entry is the one of a transfer of so many bytes.
func entry(size int64) *transfer.Entries {
	return &transfer.Entries{Entries: []transfer.Entry{{Parent: transfer.NoParent, Kind: transfer.KindRegion, Size: size}}}
}

// begin opens an edge over size bytes from the start of a region on, up to the grant.
func (h *hand) begin(dest string, epoch uint64, size int64) transport.Grant {
	h.t.Helper()
	h.say(open(dest, epoch, transport.Range{Length: size}), entry(size), &transfer.ScanDone{Entries: 1}, &transfer.PrepareData{Transports: []string{transport.TCP}, Streams: 2})
	hear[*transfer.Opened](h)
	hear[*transfer.Answers](h)
	ready := hear[*transfer.DataReady](h)
	if ready.Err != nil {
		h.t.Fatal(ready.Err)
	}
	return ready.Grant
}

// feed gives a transport what comes from the channel.
type feed struct {
	chunks chan *transport.Chunk
	done   chan []transport.Verdict
}

func newFeed() *feed {
	return &feed{chunks: make(chan *transport.Chunk, 8), done: make(chan []transport.Verdict, 8)}
}

func (f *feed) Next(ctx context.Context, _ int) (*transport.Chunk, error) {
	select {
	case c := <-f.chunks:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *feed) Done(_ *transport.Chunk, v []transport.Verdict) { f.done <- v }

// chunk is extent i of an entry of size bytes, all of one value.
func chunk(i, size int64, value byte) *transport.Chunk {
	r := transfer.ExtentRange(i, size, mib)
	b := make([]byte, r.Length)
	for k := range b {
		b[k] = value
	}
	h := transport.ExtentHeader{Offset: r.Offset, Length: r.Length, Segments: []transport.Range{r}}
	return &transport.Chunk{Seq: uint64(i) + 1, Extents: []transport.Extent{{ExtentHeader: h, Bodies: []transport.Body{{Mem: b}}}}}
}

// dial runs a data plane for a grant until the test ends.
func (h *hand) dial(g transport.Grant, epoch uint64) (*feed, chan error) {
	h.t.Helper()
	out, err := h.r.tcp.Dial(h.r.ctx, transport.Edge{UID: transfer.UID{1}, Epoch: epoch, Peer: "n2"}, g, transport.DialOptions{Streams: 1, ChunkSize: mib, Verify: true})
	if err != nil {
		h.t.Fatal(err)
	}
	f, end := newFeed(), make(chan error, 1)
	h.r.wg.Go(func() {
		err := out.Run(h.r.ctx, f)
		_ = out.Close()
		end <- err
	})
	return f, end
}
