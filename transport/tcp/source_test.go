package tcp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/internal/wire"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/transporttest"
)

func xxh(b []byte) [16]byte { return xxh3.Hash128(b).Bytes() }

// against runs an edge against a scripted target and returns what Run says.
func against(t *testing.T, l Limits, chunks []*transport.Chunk, script func(c net.Conn)) error {
	t.Helper()
	ln, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		io.ReadFull(c, make([]byte, wire.HelloSize))
		script(c)
	}()
	defer func() { ln.Close(); <-done }()
	pool := bufpool.New(16 << 20)
	defer func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	}()
	tr, err := New(Config{Pool: pool, Limits: l})
	if err != nil {
		t.Fatal(err)
	}
	out, err := tr.Dial(t.Context(), transport.Edge{}, transport.Grant{
		Transport: transport.TCP, Addr: ln.Addr().String(), Tokens: make([][32]byte, 1),
	}, transport.DialOptions{Streams: 1, Verify: true})
	if err != nil {
		return err
	}
	defer out.Close()
	f := transporttest.NewFeed(chunks...)
	defer f.Settled(t)
	return out.Run(t.Context(), f)
}

func memChunks(n int) []*transport.Chunk {
	var chunks []*transport.Chunk
	for i := range uint64(n) {
		chunks = append(chunks, &transport.Chunk{Seq: i, Extents: []transport.Extent{{
			ExtentHeader: transport.ExtentHeader{Entry: i, Length: 10, Segments: []transport.Range{{Length: 10}}},
			Bodies:       []transport.Body{{Mem: []byte("0123456789")}},
		}}})
	}
	return chunks
}

func TestBadReplies(t *testing.T) {
	for name, c := range map[string]struct {
		reply []byte
		want  string
	}{
		"garbage":     {bytes.Repeat([]byte("x"), wire.ReplySize), "broke the data protocol"},
		"nothing":     {nil, "answer to the hello"},
		"denied":      {deniedReply, "denied"},
		"version":     {badVersionReply, "version"},
		"new version": {wire.AppendReply(nil, &wire.Reply{Major: 7}), "version"},
		"no verify":   {reply(wire.Accepted, 0), "agree"},
		"code":        {reply(99, 0), "unknown reason"},
	} {
		t.Run(name, func(t *testing.T) {
			err := against(t, Limits{}, nil, func(conn net.Conn) { conn.Write(c.reply) })
			var unavailable *transport.UnavailableError
			if !errors.As(err, &unavailable) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Dial: %v", err)
			}
		})
	}
}

// TestHostileTarget: a target that lies or falls silent breaks the session, and
// every chunk is answered all the same.
func TestHostileTarget(t *testing.T) {
	ack := func(seq uint64, n int) []byte {
		a := make([]wire.Answer, n)
		for i := range a {
			a[i].Code = wire.Code(transport.Placed)
		}
		return wire.AppendAck(nil, seq, a)
	}
	for name, c := range map[string]struct {
		answer []byte
		want   string
	}{
		"garbage":             {bytes.Repeat([]byte{0xfe}, 100), "protocol"},
		"ack of another":      {ack(5, 1), "protocol"},
		"ack of more extents": {ack(0, 2), "protocol"},
		"ack twice":           {append(ack(0, 1), ack(0, 1)...), "protocol"},
		"chunk from a target": {wire.AppendRaw(nil, wire.TypeChunk, nil), "protocol"},
		"critical unknown":    {wire.AppendRaw(nil, wire.Critical|77, nil), "protocol"},
		"early end":           {wire.AppendEnd(nil, 0), "protocol"},
		"gives up":            {wire.AppendFail(nil, "disk on fire"), "disk on fire"},
		"does not know":       {wire.AppendAck(nil, 0, []wire.Answer{{Code: wire.Code(transport.Unknown)}}), "does not know"},
		"closes":              {nil, "closed the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			err := against(t, Limits{}, memChunks(20), func(conn net.Conn) {
				conn.Write(reply(wire.Accepted, wire.Verifies))
				readPrefix(conn) // of the first chunk
				conn.Write(c.answer)
				conn.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, conn)
			})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Run: %v", err)
			}
		})
	}
}

// stall is a Limits.Stall within which a process on a busy machine gets its turn.
const stall = 3 * time.Second

// TestSilentTarget: a target that owes an answer and gives no sign of life is
// given up; one that does give signs is not.
func TestSilentTarget(t *testing.T) {
	t.Parallel() // it waits
	l := Limits{Stall: stall}
	err := against(t, l, memChunks(1), func(c net.Conn) {
		c.Write(reply(wire.Accepted, wire.Verifies))
		io.Copy(io.Discard, c)
	})
	if !isTimeout(err) {
		t.Errorf("Run: %v", err)
	}
	err = against(t, l, memChunks(1), func(c net.Conn) {
		c.Write(reply(wire.Accepted, wire.Verifies))
		for range 24 {
			time.Sleep(l.Stall / 20) // longer than Stall in all
			c.Write(wire.AppendAlive(nil))
		}
		c.Write(wire.AppendAck(nil, 0, []wire.Answer{{Code: wire.Code(transport.Placed)}}))
		c.Write(wire.AppendEnd(nil, 1))
		io.Copy(io.Discard, c)
	})
	if err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestAlive: the real target gives signs of life while its sink is at work.
func TestAlive(t *testing.T) {
	t.Parallel() // it waits
	l := Limits{Stall: stall}
	tr, stop := node(t, l)
	defer stop()
	sink := transporttest.NewSink(t)
	sink.OnPlace = func(_ context.Context, seq uint64, _ []transport.ExtentHeader) error {
		if seq == 0 {
			time.Sleep(l.Stall * 3 / 2) // a sink that is slow
		}
		return nil
	}
	id := transport.Edge{Epoch: 1}
	in, err := tr.Prepare(t.Context(), id, sink, transport.PrepareOptions{Streams: 1, ChunkSize: 1 << 20, Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := tr.Dial(t.Context(), id, in.Grant(), transport.DialOptions{Streams: 1, Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	f := transporttest.NewFeed(memChunks(2)...)
	if err := out.Run(t.Context(), f); err != nil {
		t.Error(err)
	}
	f.Settled(t)
}
