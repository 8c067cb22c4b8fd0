package verbs

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/internal/tally"
)

// incoming is an edge at the target.
type incoming struct {
	t      *Transport
	edge   transport.Edge
	sink   transport.Sink
	opt    transport.PrepareOptions
	rails  []Rail
	params []byte
	token  [32]byte
	ctx    context.Context
	cancel context.CancelCauseFunc
	stats  tally.Counters

	mu     sync.Mutex
	closed bool
	joined bool // the token is used
	fenced error
	wg     sync.WaitGroup // sessions that joined: at most one gets beyond its token
}

func newIncoming(t *Transport, edge transport.Edge, sink transport.Sink, o transport.PrepareOptions, rails []Rail) (*incoming, error) {
	rails = rails[:min(len(rails), maxRails)]
	offered := offer{Version: version, Rails: offerOf(rails)}
	if o.Memory != nil {
		offered.Memory = int64(len(o.Memory.Base))
	}
	params, err := json.Marshal(offered)
	if err != nil {
		return nil, err
	}
	in := &incoming{t: t, edge: edge, sink: sink, opt: o, rails: rails, params: params}
	rand.Read(in.token[:])
	in.ctx, in.cancel = context.WithCancelCause(context.Background())
	return in, nil
}

// Grant implements transport.Incoming.
func (in *incoming) Grant() transport.Grant {
	return transport.Grant{Transport: transport.RDMA, Incarnation: in.t.cfg.Incarnation, Tokens: [][32]byte{in.token}, Params: append([]byte(nil), in.params...)}
}

// Stats implements transport.Incoming.
func (in *incoming) Stats() transport.Stats {
	return in.stats.Read()
}

// Close implements transport.Incoming: the fence. Its error says that memory had
// to be quarantined; even then nothing of the edge reaches the sink any more. It
// must not be called from within the sink.
func (in *incoming) Close() error {
	in.t.forget(in)
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
	in.cancel(net.ErrClosed)
	in.wg.Wait()
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.fenced
}

// Join implements transport.Joiner.
func (in *incoming) Join(c transport.Control) error {
	defer c.Close()
	in.mu.Lock()
	if in.closed {
		in.mu.Unlock()
		return net.ErrClosed
	}
	in.wg.Add(1)
	in.mu.Unlock()
	defer in.wg.Done()

	err := in.serve(c)
	if err != nil && in.ctx.Err() == nil {
		// The source is told why; it may be gone.
		ctx, cancel := context.WithTimeout(in.ctx, time.Second)
		defer cancel()
		_ = c.Send(ctx, failure(err))
	}
	return err
}

// serve runs one session.
func (in *incoming) serve(c transport.Control) error {
	l := &in.t.cfg.Limits
	ctx, cancel := context.WithTimeoutCause(in.ctx, l.Handshake, fmt.Errorf("no session within %s", l.Handshake))
	defer cancel()
	msg, err := c.Receive(ctx)
	if err != nil {
		return err
	}
	var conn connect
	if err := decode(msg, kindConnect, &conn); err != nil {
		return err
	}
	if err := in.admit(&conn); err != nil {
		return err
	}
	land := newLanding(in, c, &conn)
	err = land.bringUp(ctx, &conn)
	if err == nil {
		cancel()
		err = land.run()
	} else if ctx.Err() != nil && in.ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	if fence := land.end(); fence != nil {
		in.mu.Lock()
		in.fenced = errors.Join(in.fenced, fence)
		in.mu.Unlock()
		err = errors.Join(err, fence)
	}
	return err
}

var errDenied = errors.New("denied")

// admit lets one source in, once. What is wrong is not told.
func (in *incoming) admit(c *connect) error {
	right := subtle.ConstantTimeCompare(c.Token[:], in.token[:]) == 1
	in.mu.Lock()
	defer in.mu.Unlock()
	if !right || in.joined || in.closed || c.UID != in.edge.UID || c.Epoch != in.edge.Epoch || in.t.stale(in.edge) {
		return errDenied
	}
	in.joined = true
	switch {
	case c.ChunkSize < 1 || c.ChunkSize > in.opt.ChunkSize:
		return fmt.Errorf("%w: chunks of %d bytes, chunk_size is %d", errMessage, c.ChunkSize, in.opt.ChunkSize)
	case c.Slots < 1 || c.Slots > maxSlots:
		return fmt.Errorf("%w: %d slots", errMessage, c.Slots)
	case c.InPlace && in.opt.Memory == nil:
		return fmt.Errorf("%w: there is no memory to write to", errMessage)
	case len(c.Pairs) < 1 || len(c.Pairs) > maxPairs*len(in.rails):
		return fmt.Errorf("%w: %d queue pairs", errMessage, len(c.Pairs))
	}
	return nil
}
