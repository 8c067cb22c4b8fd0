package verbs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/xferd/xferd/rdma"
)

// writable is what the memory of slots and cells is registered with. A peer may
// write, nothing else.
const writable = rdma.LocalWrite | rdma.RemoteWrite

// bringUp makes the target's half of a session, has it tried, and grants slots.
func (l *landing) bringUp(ctx context.Context, c *connect) error {
	t := l.in.t
	most, chunk := t.recv.slots(c.ChunkSize, min(c.Slots, t.cfg.Limits.Slots)), int(c.ChunkSize)
	if l.inPlace {
		most, chunk = t.recv.slots(1, min(c.Slots, t.cfg.Limits.Slots)), 0
	}
	slot, cells, err := l.s.first(ctx, chunk, max(most*cellSize, len(c.Pairs)*probeSize))
	if err != nil {
		return err
	}
	done, err := setUp(ctx, t.joins)
	if err != nil {
		return err
	}
	defer done()
	groups, err := l.in.groupsOf(c)
	if err != nil {
		return err
	}
	answer := ready{Pairs: make([]endpoint, len(c.Pairs))}
	err = l.s.do(ctx, func() error {
		slots := make([]*slab, most) // without memory of their own
		if !l.inPlace {
			slots = append([]*slab{slot}, l.s.more(chunk, most-1)...)
		}
		return l.open(c, groups, slots, cells, &answer)
	})
	if err != nil {
		return err
	}
	l.s.watch(l.take)
	if err := l.control.Send(ctx, encode(kindReady, answer)); err != nil {
		return err
	}
	msg, err := l.control.Receive(ctx)
	if err != nil {
		return err
	}
	var p probed
	if err := decode(msg, kindProbed, &p); err != nil {
		return err
	}
	if err := l.probed(ctx, c, groups, cells.buf.Bytes()); err != nil {
		return err
	}
	if p.Slots < 1 || p.Slots > len(l.slots) {
		return fmt.Errorf("%w: %d slots of %d", errMessage, p.Slots, len(l.slots))
	}
	if err := l.s.do(ctx, func() error { return l.trim(p.Slots) }); err != nil {
		return err
	}
	l.s.cameUp() // before the source can know of it
	return l.control.Send(ctx, encode(kindGrant, l.grant()))
}

// open makes queue pairs, makes memory known to the devices, and connects to the
// source, which is told in answer. Blocks.
func (l *landing) open(c *connect, groups []group, slots []*slab, cells *slab, answer *ready) error {
	for _, g := range groups {
		// Each slot is announced on one queue pair, whichever; and the probe.
		if err := l.s.open(g.path, depths{send: 1, receive: len(slots) + 1, pairs: len(g.pairs)}, rdma.RemoteWrite); err != nil {
			return err
		}
	}
	clear(cells.buf.Bytes())
	if err := l.s.register(cells, writable); err != nil {
		return err
	}
	l.cells = cells
	for i, sl := range slots {
		slot := &inSlot{index: uint16(i), cell: cellOf(cells, i), slab: sl}
		if sl != nil {
			if err := l.s.register(sl, writable|rdma.RelaxedOrdering); err != nil {
				return err
			}
			slot.data = sl.buf.Bytes()
		}
		l.slots = append(l.slots, slot)
	}
	answer.Slots, answer.Probe = len(l.slots), cells.window(len(c.Pairs)*probeSize)
	l.probes = make(chan int, len(c.Pairs))
	l.work = make(chan arrived, len(l.slots))
	for i, g := range groups {
		d := l.s.domains[i]
		for j, at := range g.pairs {
			p := d.pairs[j]
			p.remote = c.Pairs[at]
			for range len(slots) + 1 {
				if err := l.receive(d, j); err != nil {
					return d.blame(err)
				}
			}
			if err := d.connect(p, &l.in.t.cfg.Limits); err != nil {
				return d.blame(err)
			}
			clearProbe(cells.buf.Bytes()[at*probeSize:(at+1)*probeSize], &l.in.token, at, d.path.mtu)
			answer.Pairs[at] = d.endpoint(p)
		}
	}
	return nil
}

// trim gives up the slots that the source has no use for; the others may be used
// from here on, and the memory that chunks are written to. Blocks.
func (l *landing) trim(n int) (err error) {
	if l.inPlace {
		if l.memory, err = l.s.mapMemory(l.in.opt.Memory, writable|rdma.RelaxedOrdering); err != nil {
			return err
		}
	}
	for _, sl := range l.slots[n:] {
		if sl.slab == nil {
			continue
		}
		if err := l.s.drop(sl.slab); err != nil {
			return err
		}
	}
	l.granted.Store(int32(n))
	return nil
}

// group are the queue pairs of a connect message that end at one rail.
type group struct {
	path  path
	pairs []int
}

// groupsOf finds the rails and the entries of their GID tables that the source
// means.
func (in *incoming) groupsOf(c *connect) ([]group, error) {
	rails, err := in.t.cfg.Rails()
	if err != nil {
		return nil, err
	}
	var groups []group
	find := map[int]int{}
	for i := range c.Pairs {
		e := &c.Pairs[i]
		if k, ok := find[e.Rail]; ok {
			if groups[k].pairs = append(groups[k].pairs, i); len(groups[k].pairs) > maxPairs {
				return nil, fmt.Errorf("%w: more than %d queue pairs on one rail", errMessage, maxPairs)
			}
			continue
		}
		p, err := in.pathOf(rails, e)
		if err != nil {
			return nil, err
		}
		find[e.Rail] = len(groups)
		groups = append(groups, group{p, []int{i}})
	}
	return groups, nil
}

// pathOf finds the rail that was offered among those of now: a port may have
// gone, and the index of a GID may be another one.
func (in *incoming) pathOf(rails []Rail, e *endpoint) (path, error) {
	if e.Rail < 0 || e.Rail >= len(in.rails) || e.MTU.Bytes() == 0 {
		return path{}, fmt.Errorf("%w: rail %d, MTU %d", errMessage, e.Rail, e.MTU)
	}
	offered := &in.rails[e.Rail]
	for i := range rails {
		r := &rails[i]
		if r.Device != offered.Device || r.Port.Port != offered.Port.Port {
			continue
		}
		for _, g := range r.GIDs {
			if g.GID == e.To {
				return path{rail: r, gid: g, peer: e.Rail, remote: e.GID, lid: e.LID, mtu: min(e.MTU, r.Port.ActiveMTU)}, nil
			}
		}
	}
	return path{}, fmt.Errorf("%w: %s has no address %s any more", errNoPath, offered, e.To)
}

// cellOf is the cell of a slot.
func cellOf(cells *slab, slot int) []byte {
	return cells.buf.Bytes()[slot*cellSize : (slot+1)*cellSize : (slot+1)*cellSize]
}

// window tells the peer of the first size bytes of a slab.
func (sl *slab) window(size int) window {
	w := window{Addr: sl.regions[0].Addr(), Size: size}
	for _, m := range sl.regions {
		w.Keys = append(w.Keys, m.RemoteKey())
	}
	return w
}

func (l *landing) grant() granted {
	n := int(l.granted.Load())
	g := granted{Cells: l.cells.window(n * cellSize)}
	if l.inPlace {
		g.Memory = l.memory.grant()
		return g
	}
	for _, sl := range l.slots[:n] {
		g.Slots = append(g.Slots, sl.slab.window(len(sl.data)))
	}
	return g
}

// probeWait is how long the target waits for the end of a probe once the source
// says that all was acknowledged: it is here by then, or never will be.
const probeWait = 2 * time.Second

// probed waits for the immediates of all queue pairs and checks what came with
// them.
func (l *landing) probed(ctx context.Context, c *connect, groups []group, memory []byte) error {
	ctx, cancel := context.WithTimeoutCause(ctx, probeWait, errors.New("the source was told that it arrived, and it did not"))
	defer cancel()
	seen := make([]bool, len(c.Pairs))
	for range c.Pairs {
		select {
		case i := <-l.probes:
			if i >= len(seen) || seen[i] {
				return fmt.Errorf("%w: probe %d", errMessage, i)
			}
			seen[i] = true
		case <-l.ctx.Done():
			return context.Cause(l.ctx)
		case <-ctx.Done():
			err := fmt.Errorf("%w: %w", errProbe, context.Cause(ctx))
			for k, g := range groups {
				for _, i := range g.pairs {
					if !seen[i] {
						return l.s.domains[k].blame(err)
					}
				}
			}
			return err
		}
	}
	for k, g := range groups {
		for _, i := range g.pairs {
			if err := checkProbe(memory[i*probeSize:(i+1)*probeSize], &l.in.token, i, l.s.domains[k].path.mtu); err != nil {
				return l.s.domains[k].blame(err)
			}
		}
	}
	return nil
}
