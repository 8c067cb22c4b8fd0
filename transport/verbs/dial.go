package verbs

import (
	"context"
	"errors"
	"fmt"

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
	switch {
	case g.Transport != transport.RDMA || len(g.Tokens) != 1:
		return nil, fmt.Errorf("a grant for transport %q with %d tokens", g.Transport, len(g.Tokens))
	case o.Control == nil:
		return nil, errors.New("no control stream for the set-up")
	case o.ChunkSize < 1 || o.ChunkSize > t.cfg.Limits.ChunkSize:
		return nil, fmt.Errorf("chunks of %d bytes, allowed are 1 to %d", o.ChunkSize, t.cfg.Limits.ChunkSize)
	}
	offered, err := parseOffer(g.Params)
	if err != nil {
		return nil, err
	}
	parent := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, t.cfg.Limits.Handshake, fmt.Errorf("no session within %s", t.cfg.Limits.Handshake))
	defer cancel()
	rails, err := t.cfg.Rails()
	if err != nil {
		t.ledger.fellBack(edge.Peer, nil, reasonOf(err))
		return nil, err
	}
	paths, err := choosePaths(rails, offered.Rails, t.cfg.Route)
	if err != nil {
		t.ledger.fellBack(edge.Peer, nil, reasonOf(err))
		return nil, err
	}
	out := newOutgoing(t, edge, g, o)
	out.size, out.inPlace = offered.Memory, offered.Memory > 0
	out.paths = t.rests.awake(edge.Peer, paths)
	if err := out.bringUp(ctx, out.paths); err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		err = errors.Join(err, out.end())
		if parent.Err() == nil {
			out.fellBack(err)
		}
		return nil, out.ended(err)
	}
	return out, nil
}

// bringUp makes the session and has it tried.
func (o *outgoing) bringUp(ctx context.Context, paths []path) error {
	most := o.t.send.slots(o.opt.ChunkSize, o.t.cfg.Limits.Slots)
	if o.lies() {
		most = o.t.send.slots(1, o.t.cfg.Limits.Slots)
	}
	slot, cells, err := o.s.first(ctx, int(o.opt.ChunkSize), max(most*cellSize, probeSize))
	if err != nil {
		return err
	}
	done, err := setUp(ctx, o.t.dials)
	if err != nil {
		return err
	}
	defer done()
	if o.control, err = o.opt.Control(ctx); err != nil {
		return err
	}
	if err := o.s.do(ctx, func() error { return o.open(paths, slot, cells, most) }); err != nil {
		return err
	}
	msg := connect{Token: o.grant.Tokens[0], UID: o.edge.UID, Epoch: o.edge.Epoch, ChunkSize: o.opt.ChunkSize, Slots: most, InPlace: o.inPlace}
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
	if err := r.check(&msg, len(o.s.domains)); err != nil {
		return err
	}
	if err := o.s.do(ctx, func() error { return o.connect(&r) }); err != nil {
		return err
	}
	o.s.watch(o.take)
	if err := o.probe(ctx, &r.Probe); err != nil {
		return err
	}
	if err := o.control.Send(ctx, encode(kindProbed, probed{len(o.slots)})); err != nil {
		return err
	}
	var g granted
	if err := o.await(ctx, kindGrant, &g); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", errProbe, err)
		}
		return err
	}
	if err := o.granted(&g); err != nil {
		return err
	}
	o.s.cameUp()
	return nil
}

// lies reports whether most of what is sent lies in memory that is registered.
func (o *outgoing) lies() bool { return len(o.opt.Memory) > 0 }

// open makes queue pairs and makes memory known to the devices. Blocks.
func (o *outgoing) open(paths []path, slot, cells *slab, most int) error {
	l := &o.t.cfg.Limits
	writes := int((o.opt.ChunkSize+writeSize-1)/writeSize) + 2 // and the header, and the immediate
	for _, p := range paths {
		send := most*writes + 3
		if o.inPlace || o.lies() {
			attr, err := p.rail.Device.Attr()
			if err != nil {
				return err
			}
			send = max(send, min(scattered, attr.MaxQueuePairRequests))
		}
		if err := o.s.open(p, depths{send: send, receive: 1, pairs: l.QueuePairs}, 0); err != nil {
			return err
		}
	}
	if err := o.s.register(cells, 0); err != nil {
		return err
	}
	o.cells = cells
	for _, m := range o.opt.Memory {
		known, err := o.s.mapMemory(m, 0)
		if err != nil {
			return err
		}
		o.sources = append(o.sources, known)
	}
	return o.s.register(slot, 0)
}

// addSlots makes the slots, as many as the target has too, or fewer where there is
// no memory for more. Where most of what is sent lies in memory anyway they share
// few slabs. Blocks.
func (o *outgoing) addSlots(n int) error {
	first, extra := o.s.slabs[0], n-1
	if o.lies() {
		extra = min(n, maxStages) - 1
	}
	slabs := o.s.more(int(o.opt.ChunkSize), extra)
	for _, sl := range slabs {
		if err := o.s.register(sl, 0); err != nil {
			return err
		}
	}
	slabs = append([]*slab{first}, slabs...)
	if o.lies() {
		o.stages = make(chan *slab, len(slabs))
		for _, sl := range slabs {
			o.stages <- sl
		}
		slabs = make([]*slab, n)
	}
	for i, sl := range slabs {
		slot := &outSlot{index: uint16(i), cell: cellOf(o.cells, i), slab: sl}
		if sl != nil {
			slot.data = sl.buf.Bytes()
		}
		o.slots = append(o.slots, slot)
	}
	return nil
}

// maxStages are the slabs of a session of which most lies in memory.
const maxStages = 2

// connect connects to the target, and takes as many slots as it has too. Blocks.
func (o *outgoing) connect(r *ready) error {
	i := 0
	for _, d := range o.s.domains {
		for _, p := range d.pairs {
			p.remote = r.Pairs[i]
			p.remote.GID, p.remote.LID = d.path.remote, d.path.lid
			if err := d.connect(p, &o.t.cfg.Limits); err != nil {
				return d.blame(err)
			}
			i++
		}
	}
	return o.addSlots(r.Slots)
}

func (r *ready) check(c *connect, domains int) error {
	if pairs := len(c.Pairs); len(r.Pairs) != pairs || len(r.Probe.Keys) != domains || r.Probe.Size != pairs*probeSize {
		return fmt.Errorf("%w: %d queue pairs, %d keys and %d bytes to probe %d queue pairs", errMessage, len(r.Pairs), len(r.Probe.Keys), r.Probe.Size, pairs)
	}
	if r.Slots < 1 || r.Slots > c.Slots {
		return fmt.Errorf("%w: %d slots, asked for were %d", errMessage, r.Slots, c.Slots)
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

// probe writes the probe of each queue pair. The pattern passes through the
// first cell.
func (o *outgoing) probe(ctx context.Context, w *window) error {
	index := 0
	for k, d := range o.s.domains {
		for _, p := range d.pairs {
			b := pattern(&o.grant.Tokens[0], index, d.path.mtu)
			copy(o.cells.buf.Bytes(), b)
			reqs := probeRequests(o.cells.regions[k], len(b), index, w.Addr+uint64(index*probeSize), w.Keys[k])
			d.outstanding.Add(1)
			d.account.posts.Add(1)
			if _, err := p.qp.PostSend(reqs); err != nil {
				d.outstanding.Add(-1)
				return d.blame(err)
			}
			if err := o.awaitProbe(ctx, d); err != nil {
				return fmt.Errorf("%w: %w", errProbe, err)
			}
			index++
		}
	}
	return nil
}

// awaitProbe waits until the device has sent the probe of a rail.
func (o *outgoing) awaitProbe(ctx context.Context, d *domain) error {
	select {
	case err := <-o.probed:
		if err == nil {
			return nil
		}
		if cause := context.Cause(o.life); cause != nil {
			return cause // what failed first
		}
		return d.blame(err)
	case <-o.life.Done():
		return context.Cause(o.life)
	case <-ctx.Done():
		if ctx.Err() == context.DeadlineExceeded {
			return d.blame(context.Cause(ctx))
		}
		return context.Cause(ctx)
	}
}

// granted takes the slots of the target.
func (o *outgoing) granted(g *granted) error {
	n, windows := len(o.slots), len(o.slots)
	if o.inPlace {
		windows = 0
	}
	if len(g.Slots) != windows || len(g.Cells.Keys) != len(o.s.domains) || g.Cells.Size < n*cellSize {
		return fmt.Errorf("%w: a grant of %d slots and %d bytes of cells", errMessage, len(g.Slots), g.Cells.Size)
	}
	o.free = make(chan *outSlot, n)
	if o.inPlace {
		if err := checkParts(g.Memory, o.size, len(o.s.domains)); err != nil {
			return err
		}
		o.memory.parts = g.Memory
	}
	for i, sl := range o.slots {
		if !o.inPlace {
			w := g.Slots[i]
			if int64(w.Size) < o.opt.ChunkSize || len(w.Keys) != len(o.s.domains) {
				return fmt.Errorf("%w: a slot of %d bytes with %d keys", errMessage, w.Size, len(w.Keys))
			}
			sl.remote = w
		}
		sl.remoteCell = g.Cells.Addr + uint64(i*cellSize)
		o.free <- sl
	}
	o.cellKeys = g.Cells.Keys
	return nil
}
