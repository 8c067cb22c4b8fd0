package node

import (
	"context"
	"sync/atomic"

	"github.com/xferd/xferd/transfer/sender"
	"github.com/xferd/xferd/transport"
)

// meter counts the file content that crossed this node's edges since it
// started, those of transfers that are forgotten included: a counter that never
// goes back, at the source as at the target.
type meter map[string]*moved

type moved struct{ sent, received atomic.Int64 }

func newMeter(transports ...string) meter {
	m := meter{}
	for _, name := range transports {
		m[name] = &moved{}
	}
	return m
}

// acceptor returns a that counts what it receives.
func (m meter) acceptor(name string, a transport.Acceptor) transport.Acceptor {
	return meteredAcceptor{a, m[name]}
}

type meteredAcceptor struct {
	transport.Acceptor
	n *moved
}

func (a meteredAcceptor) Prepare(ctx context.Context, e transport.Edge, s transport.Sink, o transport.PrepareOptions) (transport.Incoming, error) {
	return a.Acceptor.Prepare(ctx, e, meteredSink{s, a.n}, o)
}

type meteredSink struct {
	transport.Sink
	n *moved
}

func (s meteredSink) Landed(ctx context.Context, seq uint64, arrivals []transport.Arrival) []transport.Verdict {
	var n int64
	for i := range arrivals {
		if arrivals[i].Err == nil {
			n += arrivals[i].Length
		}
	}
	s.n.received.Add(n)
	return s.Sink.Landed(ctx, seq, arrivals)
}

// observer returns o of one attempt, which counts what that sends.
func (m meter) observer(o sender.Observer) sender.Observer {
	return &meteredObserver{Observer: o, m: m}
}

type meteredObserver struct {
	sender.Observer
	m    meter
	now  atomic.Pointer[moved] // the transport that is in use
	last atomic.Int64          // bytes of the attempt so far
}

func (o *meteredObserver) Path(name string, why transport.Reason, detail string) {
	o.now.Store(o.m[name])
	o.Observer.Path(name, why, detail)
}

func (o *meteredObserver) Progress(p sender.Progress) {
	if n := p.Stats.Bytes - o.last.Swap(p.Stats.Bytes); n > 0 {
		if by := o.now.Load(); by != nil {
			by.sent.Add(n)
		}
	}
	o.Observer.Progress(p)
}
