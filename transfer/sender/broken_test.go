package sender_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/receiver"
	"github.com/xferd/xferd/transfer/sender"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/tcp"
)

const mib = 1 << 20

// wire stands between both ends of real TCP data planes. In the first sessions
// no answer comes back, and all connections end once some extents landed: the
// source knows nothing of what the target has.
type wire struct {
	transport.Dialer
	transport.Acceptor
	t *testing.T

	deaf    int // sessions without answers
	landing int // extents that land in each of them

	mu      sync.Mutex
	session int
	landed  map[transfer.ExtentID]int64 // bytes, as the target recorded
	now     int                         // of this session
	again   []transfer.ExtentID         // came although they had landed before
	payload int64                       // bytes of all extents that came
	conns   []net.Conn
	wg      sync.WaitGroup
}

// Prepare implements transport.Acceptor.
func (w *wire) Prepare(ctx context.Context, e transport.Edge, s transport.Sink, o transport.PrepareOptions) (transport.Incoming, error) {
	w.mu.Lock()
	w.session++
	w.now = 0
	w.mu.Unlock()
	return w.Acceptor.Prepare(ctx, e, &watchedSink{s, w}, o)
}

// Dial implements transport.Dialer: the connections go through a relay.
func (w *wire) Dial(ctx context.Context, e transport.Edge, g transport.Grant, o transport.DialOptions) (transport.Outgoing, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	target := g.Addr
	g.Addr = ln.Addr().String()
	w.mu.Lock()
	deaf := w.session <= w.deaf
	w.mu.Unlock()
	w.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			w.wg.Go(func() { w.relay(c, target, deaf) })
		}
	})
	out, err := w.Dialer.Dial(ctx, e, g, o)
	if err != nil {
		ln.Close()
		return nil, err
	}
	return &relayed{out, ln}, nil
}

type relayed struct {
	transport.Outgoing
	ln net.Listener
}

func (r *relayed) Close() error { return errors.Join(r.Outgoing.Close(), r.ln.Close()) }

func (w *wire) relay(c net.Conn, target string, deaf bool) {
	d, err := net.Dial("tcp", target)
	if err != nil {
		c.Close()
		return
	}
	w.mu.Lock()
	w.conns = append(w.conns, c, d)
	w.mu.Unlock()
	w.wg.Go(func() {
		_, _ = io.Copy(d, c)
		d.Close()
	})
	if deaf {
		hello := make([]byte, 1) // the answer to the hello goes through, alone
		for {
			n, err := d.Read(hello[:])
			if err != nil || n == 0 {
				break
			}
			w.mu.Lock()
			mute := w.now > 0
			w.mu.Unlock()
			if !mute {
				_, _ = c.Write(hello)
			}
		}
	} else {
		_, _ = io.Copy(c, d)
	}
	c.Close()
}

// cut ends all connections.
func (w *wire) cut() {
	for _, c := range w.conns {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	w.conns = nil
}

type watchedSink struct {
	transport.Sink
	w *wire
}

func (s *watchedSink) Place(ctx context.Context, seq uint64, extents []transport.ExtentHeader) ([]transport.Landing, error) {
	s.w.mu.Lock()
	for i := range extents {
		x := &extents[i]
		id := transfer.ExtentID{Entry: x.Entry, Offset: x.Offset}
		if _, ok := s.w.landed[id]; ok {
			s.w.again = append(s.w.again, id)
		}
		s.w.payload += x.DataLength()
	}
	s.w.mu.Unlock()
	return s.Sink.Place(ctx, seq, extents)
}

func (s *watchedSink) Landed(ctx context.Context, seq uint64, arrivals []transport.Arrival) []transport.Verdict {
	v := s.Sink.Landed(ctx, seq, arrivals)
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for i := range arrivals {
		if v[i].Code == transport.Placed {
			s.w.landed[transfer.ExtentID{Entry: arrivals[i].Entry, Offset: arrivals[i].Offset}] = arrivals[i].Length
			s.w.now++
		}
	}
	if s.w.session <= s.w.deaf && s.w.now >= s.w.landing {
		s.w.cut()
	}
	return v
}

// observer counts results by their outcome.
type observer struct {
	mu       sync.Mutex
	outcomes map[transfer.Outcome]int
}

func (o *observer) Waiting(*transfer.Error)               {}
func (o *observer) Ready(string)                          {}
func (o *observer) Opened(*transfer.Opened)               {}
func (o *observer) Progress(sender.Progress)              {}
func (o *observer) Path(string, transport.Reason, string) {}
func (o *observer) Result(r transfer.Result) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.outcomes[r.Outcome]++
}

// TestNothingThatLandedIsSentAgain breaks the data connections of a running
// transfer several times, each time before any answer came back. Only the
// target's record tells what landed then.
func TestNothingThatLandedIsSentAgain(t *testing.T) {
	for _, verify := range []transfer.Verify{transfer.VerifyWire, transfer.VerifyNone} {
		t.Run(string(verify), func(t *testing.T) { brokenWire(t, verify) })
	}
}

func brokenWire(t *testing.T, verify transfer.Verify) {
	src, dst := t.TempDir(), t.TempDir()
	files := map[string][]byte{"big": pattern(24*mib+77, 1), "mid": pattern(3*mib, 2)}
	for i := range 300 {
		files[string(rune('a'+i%26))+string(rune('a'+i/26))] = pattern(700+i, byte(i))
	}
	total := int64(0)
	for name, b := range files {
		total += int64(len(b))
		if err := os.WriteFile(filepath.Join(src, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	exports := func(dir string, mode fsroot.Mode) func() *fsroot.Exports {
		x, err := fsroot.OpenExports([]fsroot.Export{{Path: dir, Mode: mode}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { x.Close() })
		return func() *fsroot.Exports { return x }
	}

	ctx, cancel := context.WithCancel(t.Context())
	pool := bufpool.New(64 * mib)
	ln, err := tcp.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tr, err := tcp.New(tcp.Config{Listener: ln, Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Dialer: tr, Acceptor: tr, t: t, deaf: 4, landing: 2, landed: map[transfer.ExtentID]int64{}}
	st, err := store.Open(ctx, t.TempDir(), store.Options{NodeID: "n2", Cluster: "test", NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	rec, err := receiver.New(ctx, receiver.Config{
		Node: "n2", Exports: exports(dst, fsroot.ReadWrite), Store: st, Pool: pool,
		Acceptors: map[string]transport.Acceptor{transport.TCP: w}, Order: []string{transport.TCP}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	owner, target := transfer.Pipe()
	w.wg.Go(func() {
		if err := tr.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	w.wg.Go(func() {
		if err := rec.Serve(ctx, receiver.Peer{Node: "n1"}, target); err != nil {
			t.Error(err)
		}
	})
	obs := &observer{outcomes: map[transfer.Outcome]int{}}
	edge := sender.New(
		sender.Config{Node: "n1", Exports: exports(src, fsroot.ReadOnly), Pool: pool, Dialers: map[string]transport.Dialer{transport.TCP: w}},
		sender.Job{ID: "t", UID: transfer.NewUID(), StateUUID: "s", Epoch: 1, TargetDistinct: true, Spec: transfer.Spec{
			Mode: transfer.ModeCopy, Source: "n1", Target: "n2", Sources: []transfer.Source{{Path: src}}, Dest: dst + "/d",
			DestMode: transfer.DestExact, Preserve: transfer.PreserveDefault, Verify: verify, Durability: transfer.DurabilityNone, ChunkSize: mib, Streams: 3,
		}}, owner, obs)
	sum, err := edge.Run(ctx)
	if err != nil {
		t.Error(err)
	}
	owner.Close()
	rec.Close()
	cancel()
	w.wg.Wait()
	st.Close()
	if err := pool.Close(); err != nil {
		t.Error(err)
	}

	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(dst, "d", name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if obs.outcomes[transfer.OutcomeFailed] != 0 || sum.Failed != 0 || sum.Progress.BytesDone != total {
		t.Errorf("outcomes %v, progress %+v", obs.outcomes, sum.Progress)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.session <= w.deaf {
		t.Errorf("%d data planes", w.session)
	}
	var landed int64
	for _, n := range w.landed {
		landed += n
	}
	if len(w.again) > 0 || landed != total {
		t.Errorf("%d of %d bytes landed; extents that had landed and came again: %v", landed, total, w.again)
	}
	t.Logf("%d data planes, %d bytes came for %d", w.session, w.payload, total)
}

func pattern(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>12)*7 + byte(i)*3 + seed
	}
	return b
}
