package verbs

import (
	"context"
	"errors"
	"fmt"

	"github.com/xferd/xferd/rdma"
)

// writable is what the memory of slots and cells is registered with. A peer may
// write, nothing else.
const writable = rdma.LocalWrite | rdma.RemoteWrite

// bringUp makes the target's half of a session, has it tried, and grants slots.
func (l *landing) bringUp(ctx context.Context, c *connect) error {
	slots := min(c.Slots, l.in.t.slotsFor(l.in.t.cfg.RecvPool, c.ChunkSize))
	groups, err := l.in.groupsOf(c)
	if err != nil {
		return err
	}
	for _, g := range groups {
		// Each slot is announced on one queue pair, whichever; and the probe.
		d, err := openDomain(g.path, depths{send: 1, receive: slots + 1, pairs: len(g.pairs)}, rdma.RemoteWrite)
		if err != nil {
			return err
		}
		l.s.domains = append(l.s.domains, d)
	}
	if err := l.memory(ctx, slots, int(c.ChunkSize)); err != nil {
		return err
	}
	probe, regions, err := l.s.memory(ctx, l.in.t.cfg.RecvPool, len(c.Pairs)*probeSize, false, writable)
	if err != nil {
		return err
	}
	clear(probe)
	answer := ready{Pairs: make([]endpoint, len(c.Pairs)), Probe: windowOf(regions, 0, len(c.Pairs)*probeSize)}
	l.probes = make(chan int, len(c.Pairs))
	l.work = make(chan arrived, len(l.slots))
	for i, g := range groups {
		d := l.s.domains[i]
		for j, at := range g.pairs {
			p := d.pairs[j]
			p.remote = c.Pairs[at]
			for range slots + 1 {
				if err := l.receive(d, j); err != nil {
					return err
				}
			}
			if err := d.connect(p, &l.in.t.cfg.Limits); err != nil {
				return err
			}
			answer.Pairs[at] = d.endpoint(p)
		}
	}
	l.s.watch(l.take, l.fail)
	if err := l.control.Send(ctx, encode(kindReady, answer)); err != nil {
		return err
	}
	msg, err := l.control.Receive(ctx)
	if err != nil {
		return err
	}
	if err := decode(msg, kindProbed, nil); err != nil {
		return err
	}
	if err := l.probed(ctx, c, groups, probe); err != nil {
		return err
	}
	for _, m := range regions { // nobody needs the way to it any more
		if err := m.Close(); err != nil {
			return err
		}
	}
	return l.control.Send(ctx, encode(kindGrant, l.grant()))
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
			groups[k].pairs = append(groups[k].pairs, i)
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

// memory takes slots and their cells.
func (l *landing) memory(ctx context.Context, n, size int) error {
	for i := range n {
		mem, regions, err := l.s.memory(ctx, l.in.t.cfg.RecvPool, size, i == 0, writable|rdma.RelaxedOrdering)
		if errors.Is(err, errNoBuffer) && i > 0 {
			break
		}
		if err != nil {
			return err
		}
		l.slots = append(l.slots, &inSlot{index: uint16(i), data: mem, regions: regions})
	}
	mem, regions, err := l.s.memory(ctx, l.in.t.cfg.RecvPool, len(l.slots)*cellSize, false, writable)
	if err != nil {
		return err
	}
	l.cells = regions
	for i, sl := range l.slots {
		sl.cell = mem[i*cellSize : (i+1)*cellSize]
	}
	return nil
}

func windowOf(regions []*rdma.MemoryRegion, offset, size int) window {
	w := window{Addr: regions[0].Addr() + uint64(offset), Size: size}
	for _, m := range regions {
		w.Keys = append(w.Keys, m.RemoteKey())
	}
	return w
}

func (l *landing) grant() granted {
	g := granted{Cells: windowOf(l.cells, 0, len(l.slots)*cellSize)}
	for _, sl := range l.slots {
		g.Slots = append(g.Slots, windowOf(sl.regions, 0, len(sl.data)))
	}
	return g
}

// probed waits for the immediates of all queue pairs and checks what came with
// them.
func (l *landing) probed(ctx context.Context, c *connect, groups []group, memory []byte) error {
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
			return fmt.Errorf("%w: %w", errProbe, context.Cause(ctx))
		}
	}
	for k, g := range groups {
		for _, i := range g.pairs {
			if err := checkProbe(memory[i*probeSize:(i+1)*probeSize], &l.in.token, i, l.s.domains[k].path.mtu); err != nil {
				return err
			}
		}
	}
	return nil
}
