package tcp

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/xferd/xferd/internal/epoch"
	"github.com/xferd/xferd/transport"
)

// registry knows the prepared edges: which token opens a stream of which edge,
// and which epoch of a transfer is the newest.
type registry struct {
	mu     sync.Mutex
	closed bool
	tokens map[[sha256.Size]byte]ticket
	epochs epoch.Book
	open   map[*incoming]struct{}
}

type ticket struct {
	in     *incoming
	stream int
}

func (r *registry) init() {
	r.tokens = map[[sha256.Size]byte]ticket{}
	r.open = map[*incoming]struct{}{}
}

// Prepare implements transport.Acceptor. The grant has one token per stream. An
// epoch that is lower than one prepared before for the same transfer is
// transport.ErrStaleEpoch.
func (t *Transport) Prepare(ctx context.Context, edge transport.Edge, sink transport.Sink, o transport.PrepareOptions) (transport.Incoming, error) {
	switch l := t.cfg.Limits; {
	case t.cfg.Listener == nil:
		return nil, errors.New("tcp transport without a listener")
	case o.Streams < 1 || o.Streams > l.Streams:
		return nil, fmt.Errorf("%d streams, allowed are 1 to %d", o.Streams, l.Streams)
	case o.ChunkSize < 1 || o.ChunkSize > l.ChunkSize:
		return nil, fmt.Errorf("chunks of %d bytes, allowed are 1 to %d", o.ChunkSize, l.ChunkSize)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	in := newIncoming(t, edge, sink, o)
	if err := t.edges.add(in); err != nil {
		in.cancel()
		return nil, err
	}
	return in, nil
}

func (r *registry) add(in *incoming) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return net.ErrClosed
	}
	if newest, ok := r.epochs.Open(in.edge.UID, in.edge.Epoch); !ok {
		return fmt.Errorf("%w: %d after %d", transport.ErrStaleEpoch, in.edge.Epoch, newest)
	}
	in.grant.Tokens = make([][32]byte, in.opt.Streams)
	for i := range in.grant.Tokens {
		rand.Read(in.grant.Tokens[i][:])
		r.tokens[sha256.Sum256(in.grant.Tokens[i][:])] = ticket{in, i}
	}
	r.open[in] = struct{}{}
	return nil
}

// claim uses up the token and lets the stream join its edge. It returns nil
// whenever anything at all is wrong.
func (r *registry) claim(token [32]byte, uid [16]byte, epoch uint64, stream uint32) *incoming {
	key := sha256.Sum256(token[:])
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ok := r.tokens[key]
	delete(r.tokens, key)
	if !ok || t.in.edge.UID != uid || t.in.edge.Epoch != epoch || uint32(t.stream) != stream ||
		!r.epochs.Newest(uid, epoch) || !t.in.join() {
		return nil
	}
	return t.in
}

// forget drops the tokens of an edge and takes it off the list.
func (r *registry) forget(in *incoming) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.open[in]; !ok {
		return
	}
	delete(r.open, in)
	for i := range in.grant.Tokens {
		delete(r.tokens, sha256.Sum256(in.grant.Tokens[i][:]))
	}
	r.epochs.Close(in.edge.UID)
}

// closeAll refuses further edges and closes those that are open.
func (r *registry) closeAll() {
	r.mu.Lock()
	r.closed = true
	open := make([]*incoming, 0, len(r.open))
	for in := range r.open {
		open = append(open, in)
	}
	r.mu.Unlock()
	for _, in := range open {
		in.Close()
	}
}
