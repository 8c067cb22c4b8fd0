package verbs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/xferd/xferd/rdma"
	"github.com/xferd/xferd/transport"
)

// writeSize is the size of one work request. Larger ones gain nothing, and some
// ports take no more than 8 MiB.
const writeSize = 1 << 20

// Dial implements transport.Dialer: it brings a session up, with a probe of each
// queue pair. Its errors are transport.UnavailableError with a reason.
func (t *Transport) Dial(ctx context.Context, edge transport.Edge, g transport.Grant, o transport.DialOptions) (transport.Outgoing, error) {
	out, err := t.dial(ctx, edge, g, o)
	if err != nil {
		return nil, unavailable(edge.Peer, reasonOf(err), err)
	}
	return out, nil
}

func (t *Transport) dial(ctx context.Context, edge transport.Edge, g transport.Grant, o transport.DialOptions) (*outgoing, error) {
	var offered offer
	switch {
	case g.Transport != transport.RDMA || len(g.Tokens) != 1:
		return nil, fmt.Errorf("a grant for transport %q with %d tokens", g.Transport, len(g.Tokens))
	case o.Control == nil:
		return nil, errors.New("no control stream for the set-up")
	case o.ChunkSize < 1 || o.ChunkSize > t.cfg.Limits.ChunkSize:
		return nil, fmt.Errorf("chunks of %d bytes, allowed are 1 to %d", o.ChunkSize, t.cfg.Limits.ChunkSize)
	}
	if err := json.Unmarshal(g.Params, &offered); err != nil {
		return nil, fmt.Errorf("%w: grant: %w", errMessage, err)
	}
	if offered.Version != version {
		return nil, fmt.Errorf("the peer speaks version %d, this node %d", offered.Version, version)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, t.cfg.Limits.Handshake, fmt.Errorf("no session within %s", t.cfg.Limits.Handshake))
	defer cancel()
	done, err := setUp(ctx, t.dials)
	if err != nil {
		return nil, err
	}
	defer done()
	rails, err := t.cfg.Rails()
	if err != nil {
		return nil, err
	}
	paths, err := choosePaths(rails, offered.Rails, t.cfg.Route)
	if err != nil {
		return nil, err
	}
	control, err := o.Control(ctx)
	if err != nil {
		return nil, err
	}
	out := newOutgoing(t, edge, g, o, control)
	if err := out.bringUp(ctx, paths); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		return nil, errors.Join(err, out.end())
	}
	return out, nil
}

// bringUp makes the session and has it tried.
func (o *outgoing) bringUp(ctx context.Context, paths []path) error {
	l := &o.t.cfg.Limits
	slots := o.t.slotsFor(o.t.cfg.SendPool, o.opt.ChunkSize)
	writes := int((o.opt.ChunkSize+writeSize-1)/writeSize) + 2 // and the header, and the immediate
	for _, p := range paths {
		d, err := openDomain(p, depths{send: slots*writes + 3, receive: 1, pairs: l.QueuePairs}, 0)
		if err != nil {
			return err
		}
		o.s.domains = append(o.s.domains, d)
	}
	slots, err := o.memory(ctx, slots)
	if err != nil {
		return err
	}
	msg := connect{Token: o.grant.Tokens[0], UID: o.edge.UID, Epoch: o.edge.Epoch, ChunkSize: o.opt.ChunkSize, Slots: slots}
	for _, d := range o.s.domains {
		for _, p := range d.pairs {
			msg.Pairs = append(msg.Pairs, d.endpoint(p))
		}
	}
	if err := o.control.Send(ctx, encode(kindConnect, msg)); err != nil {
		return err
	}
	var r ready
	if err := o.await(ctx, kindReady, &r); err != nil {
		return err
	}
	if err := r.check(len(msg.Pairs), len(o.s.domains)); err != nil {
		return err
	}
	i := 0
	for _, d := range o.s.domains {
		for _, p := range d.pairs {
			p.remote = r.Pairs[i]
			p.remote.GID, p.remote.LID = d.path.remote, d.path.lid
			if err := d.connect(p, l); err != nil {
				return err
			}
			i++
		}
	}
	o.s.watch(o.take, o.fail)
	if err := o.probe(ctx, &r.Probe); err != nil {
		return err
	}
	if err := o.control.Send(ctx, encode(kindProbed, struct{}{})); err != nil {
		return err
	}
	var g granted
	if err := o.await(ctx, kindGrant, &g); err != nil {
		return err
	}
	return o.granted(&g)
}

func (r *ready) check(pairs, domains int) error {
	if len(r.Pairs) != pairs || len(r.Probe.Keys) != domains || r.Probe.Size != pairs*probeSize {
		return fmt.Errorf("%w: %d queue pairs, %d keys and %d bytes to probe %d queue pairs", errMessage, len(r.Pairs), len(r.Probe.Keys), r.Probe.Size, pairs)
	}
	return nil
}

// await receives the next message, which has to be of a kind.
func (o *outgoing) await(ctx context.Context, k kind, v any) error {
	msg, err := o.control.Receive(ctx)
	if err != nil {
		return fmt.Errorf("wait for the target: %w", err)
	}
	return decode(msg, k, v)
}

// memory takes slabs for at most n slots, and cells, and registers them.
func (o *outgoing) memory(ctx context.Context, n int) (int, error) {
	for i := range n {
		mem, regions, err := o.s.memory(ctx, o.t.cfg.SendPool, int(o.opt.ChunkSize), i == 0, 0)
		if errors.Is(err, errNoBuffer) && i > 0 {
			break
		}
		if err != nil {
			return 0, err
		}
		o.slots = append(o.slots, &outSlot{index: uint16(i), data: mem, regions: regions})
	}
	mem, regions, err := o.s.memory(ctx, o.t.cfg.SendPool, len(o.slots)*cellSize, false, 0)
	if err != nil {
		return 0, err
	}
	o.cells = regions
	for i, sl := range o.slots {
		sl.cell = mem[i*cellSize : (i+1)*cellSize : (i+1)*cellSize]
	}
	return len(o.slots), nil
}

// probe writes the probe of each queue pair. The pattern passes through the
// first cell.
func (o *outgoing) probe(ctx context.Context, w *window) error {
	index := 0
	for k, d := range o.s.domains {
		for _, p := range d.pairs {
			b := pattern(&o.grant.Tokens[0], index, d.path.mtu)
			copy(o.cells[k].Bytes(), b)
			reqs := probeRequests(o.cells[k], 0, len(b), index, w.Addr+uint64(index*probeSize), w.Keys[k])
			d.outstanding.Add(1)
			if _, err := p.qp.PostSend(reqs); err != nil {
				d.outstanding.Add(-1)
				return err
			}
			select {
			case err := <-o.probed:
				if err != nil {
					return fmt.Errorf("probe: %w", err)
				}
			case <-o.life.Done():
				return fmt.Errorf("probe: %w", context.Cause(o.life))
			case <-ctx.Done():
				return fmt.Errorf("%w: %w", errProbe, context.Cause(ctx))
			}
			index++
		}
	}
	return nil
}

// granted takes the slots of the target, which may be fewer.
func (o *outgoing) granted(g *granted) error {
	n := len(g.Slots)
	if n < 1 || n > len(o.slots) || len(g.Cells.Keys) != len(o.s.domains) || g.Cells.Size < n*cellSize {
		return fmt.Errorf("%w: a grant of %d slots and %d bytes of cells", errMessage, n, g.Cells.Size)
	}
	o.slots = o.slots[:n]
	o.free = make(chan *outSlot, n)
	for i, sl := range o.slots {
		w := g.Slots[i]
		if int64(w.Size) < o.opt.ChunkSize || len(w.Keys) != len(o.s.domains) {
			return fmt.Errorf("%w: a slot of %d bytes with %d keys", errMessage, w.Size, len(w.Keys))
		}
		sl.remote = w
		sl.remoteCell = g.Cells.Addr + uint64(i*cellSize)
		o.free <- sl
	}
	o.cellKeys = g.Cells.Keys
	return nil
}

// elements of a slab on a rail.
func (sl *outSlot) element(k int, offset, n int) rdma.SGE { return sl.regions[k].Element(offset, n) }
