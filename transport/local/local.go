// Package local is the transport inside one node: both ends of the edge are in
// this process, and file content moves within the kernel, by reflink or
// copy_file_range(2), else through a buffer.
//
// What the kernel copied has no digest: nothing went over a wire, and reading it
// again would only read the page cache. It is not the place for copies between
// nodes, nor for files as such: it is handed descriptors.
package local

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/internal/epoch"
	"github.com/xferd/xferd/internal/pace"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/internal/tally"
)

// maxStreams bounds the workers of one edge.
const maxStreams = 32

// Config is what a Transport is made of.
type Config struct {
	Incarnation uint64 // put into grants
	// Pool lends memory for what cannot be copied by the kernel. It should not
	// be one that what waits to be sent is held in; see tcp.Config.
	Pool *bufpool.Pool
}

// Transport is both halves: transport.Acceptor and transport.Dialer. It has no
// goroutines of its own; workers belong to Outgoing.Run.
type Transport struct {
	cfg Config

	mu     sync.Mutex
	edges  map[[sha256.Size]byte]*incoming // by token, until it is used
	epochs epoch.Book
}

var (
	_ transport.Acceptor = (*Transport)(nil)
	_ transport.Dialer   = (*Transport)(nil)
)

// New returns a transport. Only grants of the same Transport can be dialled.
func New(cfg Config) (*Transport, error) {
	if cfg.Pool == nil {
		return nil, errors.New("local transport without a buffer pool")
	}
	return &Transport{cfg: cfg, edges: map[[sha256.Size]byte]*incoming{}}, nil
}

// Prepare implements transport.Acceptor. The token is in Grant.Params.
func (t *Transport) Prepare(ctx context.Context, edge transport.Edge, sink transport.Sink, o transport.PrepareOptions) (transport.Incoming, error) {
	switch {
	case o.Streams < 1 || o.Streams > maxStreams:
		return nil, fmt.Errorf("%d streams, allowed are 1 to %d", o.Streams, maxStreams)
	case o.ChunkSize < 1:
		return nil, fmt.Errorf("chunks of %d bytes", o.ChunkSize)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	token := make([]byte, 32)
	rand.Read(token)
	in := &incoming{
		t: t, edge: edge, sink: sink, opt: o,
		grant: transport.Grant{Transport: transport.Local, Incarnation: t.cfg.Incarnation, Params: token},
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if newest, ok := t.epochs.Open(edge.UID, edge.Epoch); !ok {
		return nil, fmt.Errorf("%w: %d after %d", transport.ErrStaleEpoch, edge.Epoch, newest)
	}
	in.ctx, in.cancel = context.WithCancel(context.Background())
	t.edges[sha256.Sum256(token)] = in
	return in, nil
}

// Dial implements transport.Dialer.
func (t *Transport) Dial(ctx context.Context, edge transport.Edge, g transport.Grant, o transport.DialOptions) (transport.Outgoing, error) {
	switch {
	case g.Transport != transport.Local:
		return nil, fmt.Errorf("grant is for transport %q", g.Transport)
	case o.Streams < 1:
		return nil, fmt.Errorf("%d streams", o.Streams)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	in := t.claim(edge, g.Params)
	if in == nil {
		return nil, &transport.UnavailableError{Transport: transport.Local, Addr: "this node", Err: errors.New("denied")}
	}
	out := &outgoing{in: in, opt: o, streams: min(o.Streams, in.opt.Streams), pacer: pace.New(o.MaxRate)}
	out.life, out.close = context.WithCancel(context.Background())
	return out, nil
}

// claim uses up a token.
func (t *Transport) claim(edge transport.Edge, token []byte) *incoming {
	key := sha256.Sum256(token)
	t.mu.Lock()
	defer t.mu.Unlock()
	in := t.edges[key]
	delete(t.edges, key)
	if in == nil || in.edge.UID != edge.UID || in.edge.Epoch != edge.Epoch || !t.epochs.Newest(edge.UID, edge.Epoch) {
		return nil
	}
	return in
}

// incoming is an edge at the target. It also holds what both ends share.
type incoming struct {
	t      *Transport
	edge   transport.Edge
	sink   transport.Sink
	opt    transport.PrepareOptions
	grant  transport.Grant
	ctx    context.Context // until Close
	cancel context.CancelFunc
	stats  tally.Counters
	how    means

	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup // chunks that the sink may be at work on
}

// Grant implements transport.Incoming.
func (in *incoming) Grant() transport.Grant {
	g := in.grant
	g.Params = slices.Clone(g.Params)
	return g
}

// Stats implements transport.Incoming. Both ends of the edge have the same.
func (in *incoming) Stats() transport.Stats { return in.stats.Read() }

// Close implements transport.Incoming: the fence. It must not be called from
// within the sink.
func (in *incoming) Close() error {
	in.mu.Lock()
	first := !in.closed
	in.closed = true
	in.mu.Unlock()
	in.cancel()
	if first {
		in.t.mu.Lock()
		delete(in.t.edges, sha256.Sum256(in.grant.Params))
		in.t.epochs.Close(in.edge.UID)
		in.t.mu.Unlock()
	}
	in.wg.Wait()
	return nil
}

// enter says that a chunk goes to the sink, unless the edge is closed.
func (in *incoming) enter() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return errFenced
	}
	in.wg.Add(1)
	return nil
}

var errFenced = fmt.Errorf("the target closed the edge: %w", net.ErrClosed)
