package tcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/xferd/xferd/internal/wire"
	"github.com/xferd/xferd/transport"
)

// Dial implements transport.Dialer. It opens the first stream, so that an error
// here means that nothing was sent.
func (t *Transport) Dial(ctx context.Context, edge transport.Edge, g transport.Grant, o transport.DialOptions) (transport.Outgoing, error) {
	switch {
	case g.Transport != transport.TCP:
		return nil, fmt.Errorf("grant is for transport %q", g.Transport)
	case o.Streams < 1 || len(g.Tokens) == 0:
		return nil, fmt.Errorf("%d streams asked for, %d granted", o.Streams, len(g.Tokens))
	}
	g.Tokens = g.Tokens[:min(len(g.Tokens), o.Streams, t.cfg.Limits.Streams)]
	out := newOutgoing(t, edge, g, o)
	first, err := out.open(ctx, 0)
	if err != nil {
		return nil, &transport.UnavailableError{Transport: transport.TCP, Addr: g.Addr, Err: err}
	}
	out.first = first
	return out, nil
}

// rejection is a target that answered the hello with a refusal.
type rejection struct{ verdict wire.Verdict }

func (e *rejection) Error() string {
	return "the target's answer to the hello is: " + e.verdict.String()
}

// open opens the connection of a stream, within Limits.Handshake. A target that
// is busy is asked again.
func (o *outgoing) open(ctx context.Context, stream int) (*sock, error) {
	ctx, cancel := context.WithTimeout(ctx, o.t.cfg.Limits.Handshake)
	defer cancel()
	for wait := 20 * time.Millisecond; ; wait *= 2 {
		s, err := o.connect(ctx, stream)
		var rej *rejection
		if !errors.As(err, &rej) || rej.verdict != wire.Busy {
			return s, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func (o *outgoing) connect(ctx context.Context, stream int) (_ *sock, err error) {
	d := net.Dialer{KeepAliveConfig: keepAlive}
	d.SetMultipathTCP(false)
	c, err := d.DialContext(ctx, "tcp", o.grant.Addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer func() {
		if !stop() && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			c.Close()
			if ctx.Err() != nil && !errors.As(err, new(*rejection)) {
				err = fmt.Errorf("open a stream: %w", ctx.Err())
			}
		}
	}()
	s, err := newSock(c.(*net.TCPConn))
	if err != nil {
		return nil, err
	}
	hello := wire.Hello{
		Major: wire.Major, Minor: wire.Minor,
		UID: o.edge.UID, Epoch: o.edge.Epoch, Stream: uint32(stream), Token: o.grant.Tokens[stream],
	}
	if _, err := c.Write(wire.AppendHello(make([]byte, 0, wire.HelloSize), &hello)); err != nil {
		return nil, fmt.Errorf("send the hello: %w", err)
	}
	var b [wire.ReplySize]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return nil, fmt.Errorf("read the answer to the hello: %w", err)
	}
	r, err := wire.DecodeReply(b[:])
	switch {
	case err != nil:
		return nil, &transport.ProtocolError{Addr: o.grant.Addr, What: err.Error()}
	case r.Verdict != wire.Accepted:
		return nil, &rejection{r.Verdict}
	case r.Features&wire.Verifies != features(o.opt.Verify):
		return nil, errors.New("source and target do not agree on whether to verify")
	}
	o.stats.Streams.Add(1)
	s.pace(o.pacer.Rate())
	return s, nil
}
