package tcp

import (
	"context"
	"slices"
	"sync"

	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/internal/tally"
)

// incoming is an edge at the target.
type incoming struct {
	t      *Transport
	edge   transport.Edge
	sink   transport.Sink
	opt    transport.PrepareOptions
	grant  transport.Grant
	ctx    context.Context
	cancel context.CancelFunc
	stats  tally.Counters

	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup // streams that joined
}

func newIncoming(t *Transport, edge transport.Edge, sink transport.Sink, o transport.PrepareOptions) *incoming {
	in := &incoming{t: t, edge: edge, sink: sink, opt: o}
	in.ctx, in.cancel = context.WithCancel(context.Background())
	in.grant = transport.Grant{Transport: transport.TCP, Incarnation: t.cfg.Incarnation}
	if t.cfg.Advertise != nil {
		in.grant.Addr = t.cfg.Advertise()
	} else {
		in.grant.Addr = t.cfg.Listener.Addr().String()
	}
	return in
}

// Grant implements transport.Incoming.
func (in *incoming) Grant() transport.Grant {
	g := in.grant
	g.Tokens = slices.Clone(g.Tokens)
	return g
}

// Stats implements transport.Incoming.
func (in *incoming) Stats() transport.Stats { return in.stats.Read() }

// Close implements transport.Incoming: the fence. It must not be called from
// within the sink.
func (in *incoming) Close() error {
	in.t.edges.forget(in)
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
	in.cancel() // closes the connections; see receive
	in.wg.Wait()
	return nil
}

// join counts a stream in, unless the edge is closed. Whoever joined leaves.
func (in *incoming) join() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return false
	}
	in.wg.Add(1)
	return true
}

func (in *incoming) leave() { in.wg.Done() }
