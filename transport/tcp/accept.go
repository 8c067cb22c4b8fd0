package tcp

import (
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"syscall"
	"time"

	"github.com/xferd/xferd/internal/wire"
)

func reply(v wire.Verdict, f wire.Features) []byte {
	return wire.AppendReply(nil, &wire.Reply{Major: wire.Major, Minor: wire.Minor, Features: f, Verdict: v})
}

// features of the connections of an edge.
func features(verify bool) (f wire.Features) {
	if verify {
		f |= wire.Verifies
	}
	return f
}

var (
	notHelloReply   = reply(wire.NotHello, 0)
	badVersionReply = reply(wire.BadVersion, 0)
	deniedReply     = reply(wire.Denied, 0)
	busyReply       = reply(wire.Busy, 0)
)

// refuse answers a hello and closes the connection. It does not wait: the reply
// fits into the empty socket buffer or the peer does not get it.
func refuse(c net.Conn, reply []byte) {
	c.SetWriteDeadline(time.Now().Add(time.Second))
	c.Write(reply)
	c.Close()
}

// serve takes a connection from its hello to its end. Nothing is allocated for
// the peer before its token was found.
func (t *Transport) serve(c net.Conn) {
	addr := c.RemoteAddr().String()
	in, stream, answer := t.hello(c)
	if in == nil {
		t.leaveHandshake(c)
		refuse(c, answer)
		return
	}
	defer in.leave()
	_, err := c.Write(reply(wire.Accepted, features(in.opt.Verify)))
	t.leaveHandshake(c)
	if err == nil {
		err = c.SetDeadline(time.Time{})
	}
	if err == nil {
		err = in.receive(c.(*net.TCPConn), stream)
	} else {
		c.Close()
	}
	if err != nil && in.ctx.Err() == nil {
		level := slog.LevelWarn
		if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
			// The source closed it with answers under way, as every pause and
			// cancel does. Where the network failed it says so in its own log.
			level = slog.LevelDebug
		}
		t.log.Log(in.ctx, level, "data stream ended", "uid", hex.EncodeToString(in.edge.UID[:]), "peer", in.edge.Peer, "addr", addr, "stream", stream, "err", err)
	}
}

// hello reads a hello within its deadline and finds the edge it is for, or tells
// how to refuse it.
func (t *Transport) hello(c net.Conn) (in *incoming, stream int, refusal []byte) {
	c.SetDeadline(time.Now().Add(t.cfg.Limits.Handshake))
	var b [wire.HelloSize]byte
	if _, err := io.ReadFull(c, b[:wire.MagicSize]); err != nil || string(b[:wire.MagicSize]) != wire.Magic {
		return nil, 0, notHelloReply
	}
	if _, err := io.ReadFull(c, b[wire.MagicSize:]); err != nil {
		return nil, 0, notHelloReply
	}
	h, err := wire.DecodeHello(b[:])
	switch {
	case err != nil:
		return nil, 0, notHelloReply
	case h.Major != wire.Major:
		return nil, 0, badVersionReply
	}
	in = t.edges.claim(h.Token, h.UID, h.Epoch, h.Stream)
	if in == nil {
		t.noise.Do(func() { t.log.Warn("data connection denied", "addr", c.RemoteAddr().String()) })
		return nil, 0, deniedReply
	}
	return in, int(h.Stream), nil
}
