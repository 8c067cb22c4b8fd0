package tcp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/xferd/xferd/internal/wire"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/transporttest"
)

// target is a prepared edge that the test talks to over a raw socket.
type target struct {
	t    *testing.T
	tr   *Transport
	in   transport.Incoming
	id   transport.Edge
	sink *transporttest.Sink
}

func newTarget(t *testing.T, l Limits) *target {
	t.Helper()
	tr, stop := node(t, l)
	t.Cleanup(stop)
	x := &target{t: t, tr: tr, id: transport.Edge{UID: [16]byte{5}, Epoch: 3}, sink: transporttest.NewSink(t)}
	var err error
	x.in, err = tr.Prepare(t.Context(), x.id, x.sink, transport.PrepareOptions{Streams: 2, ChunkSize: 1 << 20, Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.in.Close() })
	return x
}

func (x *target) dial() net.Conn {
	x.t.Helper()
	c, err := new(net.Dialer).DialContext(x.t.Context(), "tcp", x.in.Grant().Addr)
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

func (x *target) hello() wire.Hello {
	g := x.in.Grant()
	return wire.Hello{Major: wire.Major, UID: x.id.UID, Epoch: x.id.Epoch, Token: g.Tokens[0]}
}

// join opens a stream.
func (x *target) join() net.Conn {
	x.t.Helper()
	c := x.dial()
	h := x.hello()
	c.Write(wire.AppendHello(nil, &h))
	if v := x.reply(c); v != wire.Accepted {
		x.t.Fatal(v)
	}
	return c
}

func (x *target) reply(c net.Conn) wire.Verdict {
	x.t.Helper()
	b := make([]byte, wire.ReplySize)
	if _, err := io.ReadFull(c, b); err != nil {
		x.t.Fatal(err)
	}
	r, err := wire.DecodeReply(b)
	if err != nil {
		x.t.Fatal(err)
	}
	return r.Verdict
}

// closed checks that the peer hangs up, whatever it says before.
func (x *target) closed(c net.Conn) {
	x.t.Helper()
	if _, err := io.Copy(io.Discard, c); errors.Is(err, context.DeadlineExceeded) || err != nil && isTimeout(err) {
		x.t.Errorf("the connection stays open: %v", err)
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// frame reads one frame.
func (x *target) frame(c net.Conn) (wire.Type, []byte) {
	x.t.Helper()
	p, err := readPrefix(c)
	if err != nil {
		x.t.Fatal(err)
	}
	b := make([]byte, p.Length)
	if _, err := io.ReadFull(c, b); err != nil {
		x.t.Fatal(err)
	}
	return p.Type, b
}

// chunk is a good chunk of one extent, whole on the wire.
func chunk(seq uint64, data []byte) []byte {
	b, _ := wire.AppendChunk(nil, &wire.Chunk{Seq: seq, Flags: wire.Digests, Extents: []wire.Extent{
		{Entry: seq, Length: int64(len(data)), Segments: []wire.Range{{Length: int64(len(data))}}},
	}})
	b = append(b, data...)
	return wire.AppendTrailer(b, seq, []wire.Seal{{Digest: xxh(data)}})
}

func TestHostileHello(t *testing.T) {
	for name, c := range map[string]struct {
		change func(x *target, h *wire.Hello)
		raw    []byte
		want   wire.Verdict
	}{
		"http":          {raw: []byte("GET / HTTP/1.1\r\n\r\n"), want: wire.NotHello},
		"old version":   {change: func(_ *target, h *wire.Hello) { h.Major = 0 }, want: wire.BadVersion},
		"new version":   {change: func(_ *target, h *wire.Hello) { h.Major = 2 }, want: wire.BadVersion},
		"newer minor":   {change: func(_ *target, h *wire.Hello) { h.Minor, h.Features = 99, math.MaxUint32 }, want: wire.Accepted},
		"wrong token":   {change: func(_ *target, h *wire.Hello) { h.Token[0] ^= 1 }, want: wire.Denied},
		"no token":      {change: func(_ *target, h *wire.Hello) { h.Token = [32]byte{} }, want: wire.Denied},
		"wrong uid":     {change: func(_ *target, h *wire.Hello) { h.UID[0] ^= 1 }, want: wire.Denied},
		"old epoch":     {change: func(_ *target, h *wire.Hello) { h.Epoch-- }, want: wire.Denied},
		"future epoch":  {change: func(_ *target, h *wire.Hello) { h.Epoch++ }, want: wire.Denied},
		"other stream":  {change: func(_ *target, h *wire.Hello) { h.Stream = 1 }, want: wire.Denied},
		"absurd stream": {change: func(_ *target, h *wire.Hello) { h.Stream = math.MaxUint32 }, want: wire.Denied},
		"after the fence": {change: func(x *target, _ *wire.Hello) {
			x.in.Close()
		}, want: wire.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			x := newTarget(t, Limits{})
			h, raw := x.hello(), c.raw
			if c.change != nil {
				c.change(x, &h)
				raw = wire.AppendHello(nil, &h)
			}
			conn := x.dial()
			conn.Write(raw)
			if v := x.reply(conn); v != c.want {
				t.Errorf("answer %v", v)
			}
			if c.want != wire.Accepted {
				x.closed(conn)
			}
		})
	}
}

// TestSlowHello: a peer that dribbles is closed at the deadline, and so is one
// that says nothing.
func TestSlowHello(t *testing.T) {
	x := newTarget(t, Limits{Handshake: 50 * time.Millisecond})
	for _, n := range []int{0, 1, wire.HelloSize - 1} {
		c := x.dial()
		h := x.hello()
		c.Write(wire.AppendHello(nil, &h)[:n])
		x.closed(c)
	}
}

// TestPending: the number of handshakes at a time is bounded, and a dialler
// that is told so tries again.
func TestPending(t *testing.T) {
	x := newTarget(t, Limits{Pending: 1})
	idle := x.dial()
	idle.Write([]byte(wire.Magic)) // keeps the one place
	for {
		c := x.dial()
		if x.reply(c) == wire.Busy {
			break
		}
	}
	done := make(chan error, 1)
	go func() {
		out, err := x.tr.Dial(t.Context(), x.id, x.in.Grant(), transport.DialOptions{Streams: 1, Verify: true})
		if err == nil {
			out.Close()
		}
		done <- err
	}()
	idle.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestHostileFrames(t *testing.T) {
	data := bytes.Repeat([]byte("x"), 1000)
	good := chunk(1, data)
	header := func(e ...wire.Extent) []byte {
		b, err := wire.AppendChunk(nil, &wire.Chunk{Seq: 1, Flags: wire.Digests, Extents: e})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	flip := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[at] ^= 1
		return b
	}
	big := int64(1<<20 + 1)
	noDigest, _ := wire.AppendChunk(nil, &wire.Chunk{Seq: 1, Extents: []wire.Extent{{Length: 1}}})
	for name, raw := range map[string][]byte{
		"garbage":               bytes.Repeat([]byte{0xff}, 4096),
		"zeros":                 make([]byte, 4096),
		"prefix damaged":        flip(good, 3),
		"header damaged":        flip(good, wire.PrefixSize+5),
		"critical unknown":      wire.AppendRaw(nil, wire.Critical|77, nil),
		"empty chunk frame":     wire.AppendRaw(nil, wire.TypeChunk, nil),
		"trailer alone":         wire.AppendTrailer(nil, 1, make([]wire.Seal, 1)),
		"ack from a source":     wire.AppendAck(nil, 1, []wire.Answer{{Code: 1}}),
		"fail from a source":    wire.AppendFail(nil, "no"),
		"chunk beyond the size": header(wire.Extent{Length: big, Segments: []wire.Range{{Length: big}}}),
		"hole beyond the size":  header(wire.Extent{Length: math.MaxInt64}),
		"no digests":            noDigest,
		"chunk after end":       append(wire.AppendEnd(nil, 0), good...),
		"end with a wrong sum":  append(bytes.Clone(good), wire.AppendEnd(nil, 2)...),
		"no trailer":            append(bytes.Clone(good[:len(good)-wire.PrefixSize-wire.TrailerLength(1)]), good...),
		"trailer of another":    append(bytes.Clone(good[:len(good)-wire.PrefixSize-wire.TrailerLength(1)]), wire.AppendTrailer(nil, 9, make([]wire.Seal, 1))...),
		"trailer of more":       append(bytes.Clone(good[:len(good)-wire.PrefixSize-wire.TrailerLength(1)]), wire.AppendTrailer(nil, 1, make([]wire.Seal, 2))...),
	} {
		t.Run(name, func(t *testing.T) {
			x := newTarget(t, Limits{})
			c := x.join()
			c.Write(raw)
			x.closed(c)
			x.in.Close()
		})
	}
}

// TestUnknownAncillary: what is not critical is skipped.
func TestUnknownAncillary(t *testing.T) {
	x := newTarget(t, Limits{})
	c := x.join()
	var b []byte
	for i := range uint64(3) {
		b = wire.AppendRaw(b, 99, make([]byte, 1000*i))
		b = append(b, chunk(i, []byte("some bytes"))...)
	}
	c.Write(wire.AppendEnd(b, 3))
	for i := range uint64(3) {
		typ, p := x.frame(c)
		seq, answers, err := wire.DecodeAck(p, nil)
		if typ != wire.TypeAck || seq != i || err != nil || answers[0].Code != wire.Code(transport.Placed) {
			t.Errorf("frame %#x: %d, %v, %v", typ, seq, answers, err)
		}
	}
	if typ, _ := x.frame(c); typ != wire.TypeEnd {
		t.Errorf("frame %#x", typ)
	}
}

// TestDamagedBody: a flipped bit costs its extent, nothing else.
func TestDamagedBody(t *testing.T) {
	x := newTarget(t, Limits{})
	c := x.join()
	bad := chunk(1, bytes.Repeat([]byte("x"), 1000))
	bad[len(bad)-200] ^= 1
	c.Write(append(bad, chunk(2, []byte("fine"))...))
	for _, code := range []transport.Code{transport.Mismatch, transport.Placed} {
		_, p := x.frame(c)
		if _, answers, err := wire.DecodeAck(p, nil); err != nil || answers[0].Code != wire.Code(code) {
			t.Errorf("%v, %v, want %v", answers, err, code)
		}
	}
	if n := x.in.Stats().Mismatches; n != 1 {
		t.Errorf("%d mismatches counted", n)
	}
}

// TestCutShort: a source that goes away within a chunk. The sink hears of it.
func TestCutShort(t *testing.T) {
	whole := chunk(1, bytes.Repeat([]byte("x"), 100_000))
	for _, n := range []int{1, wire.PrefixSize, 60, 200, len(whole) - 1} {
		x := newTarget(t, Limits{})
		var landed atomic.Int32
		x.sink.OnLanded = func(_ context.Context, _ uint64, a []transport.Arrival) {
			landed.Add(1)
			if a[0].Err == nil || a[0].Mem != nil {
				t.Error("half an extent came as a whole one")
			}
		}
		c := x.join()
		c.Write(whole[:n])
		c.(*net.TCPConn).CloseWrite()
		x.closed(c)
		x.in.Close()
		if want := int32(0); n > 100 {
			want = 1
			if landed.Load() != want {
				t.Errorf("cut at %d: landed %d times", n, landed.Load())
			}
		}
	}
}

// TestStall: a source that owes bytes and sends none, or too few, is cut off;
// one that owes nothing is not.
func TestStall(t *testing.T) {
	whole := chunk(1, bytes.Repeat([]byte("x"), 200_000))
	x := newTarget(t, Limits{Stall: 100 * time.Millisecond})
	idle := x.join()
	stalled := x.dial()
	h := x.hello()
	h.Stream, h.Token = 1, x.in.Grant().Tokens[1]
	stalled.Write(wire.AppendHello(nil, &h))
	if v := x.reply(stalled); v != wire.Accepted {
		t.Fatal(v)
	}
	stop := make(chan struct{})
	dribbled := make(chan struct{})
	stalled.Write(whole[:300])
	go func() {
		defer close(dribbled)
		for _, b := range whole[300:] {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				stalled.Write([]byte{b})
			}
		}
	}()
	x.closed(stalled)
	close(stop)
	<-dribbled
	idle.Write(wire.AppendEnd(nil, 0))
	if typ, _ := x.frame(idle); typ != wire.TypeEnd {
		t.Errorf("frame %#x", typ)
	}
}

// TestStallEndsWithAReset: an orderly end would wait, behind bytes that nobody takes, for
// up to as long again, where the network is cut in the direction of the target alone.
func TestStallEndsWithAReset(t *testing.T) {
	x := newTarget(t, Limits{Stall: 100 * time.Millisecond})
	c := x.join()
	c.Write(chunk(1, bytes.Repeat([]byte("x"), 200_000))[:300])
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a source that stalls is told %v", err)
	}
}
