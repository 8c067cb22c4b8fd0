package rdmatest

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"sync/atomic"

	"github.com/xferd/xferd/rdma"
)

// DeviceConfig describes a device with one RoCE port.
type DeviceConfig struct {
	// Name on its host; without one it is fake0, fake1 and so on, by order.
	Name string
	// Addrs are the addresses of its port, as "10.0.0.1". Each gives an entry of
	// RoCE v1 and one of v2 in the GID table, after those of the link-local
	// address that every port has.
	Addrs []string
	// MTU that is active, which is also the largest that really passes; 0 is
	// 4096 bytes. Queue pairs may ask for more, and then lose large packets.
	MTU rdma.MTU
	// Interface index of the network interface; 0 is one of its own.
	Interface int
	// MaxMessage is the longest work request in bytes; 0 is 1 GiB.
	MaxMessage uint32
	// MaxInline bounds what queue pairs may ask for; 0 is 256 bytes.
	MaxInline int
	// MaxMemory bounds the bytes that are registered at a time, as
	// RLIMIT_MEMLOCK would; 0 is without bound.
	MaxMemory int64
	// Speed in bits per second; 0 is 100 Gb/s.
	Speed uint64
	// Transport other than InfiniBand, such as "iWARP", makes a device that is
	// not supported.
	Transport string
}

// Device is the hardware: what the driver opens, and the handle for faults.
type Device struct {
	fabric *Fabric
	host   string
	config DeviceConfig
	guid   uint64
	faulty atomic.Bool // there are rules, or it is dead

	// Guarded by fabric.mu.
	rules    []*rule
	sends    []*sendRule
	contexts map[*opened]struct{}
	port     rdma.PortState
	table    []rdma.GIDEntry // valid entries
	frozen   bool
	dead     bool // after a fatal error
	removed  bool
	qps      map[uint32]*qp
	nextQPN  uint32
	mrs      map[uint32]*mr
	oldKeys  []uint32 // given back, last one on top
	nextKey  uint32
	memory   int64
	counters Counters
	cqs      map[*cq]struct{}
}

// Device adds a device to a host.
func (f *Fabric) Device(host string, c DeviceConfig) *Device {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, onHost := len(f.devices), 0
	for _, d := range f.devices {
		if d.host == host {
			onHost++
		}
	}
	c.Name = cmp.Or(c.Name, fmt.Sprint("fake", onHost))
	c.MTU = cmp.Or(c.MTU, rdma.MTU4096)
	c.Interface = cmp.Or(c.Interface, 10+n)
	c.MaxMessage = cmp.Or(c.MaxMessage, 1<<30)
	c.MaxInline = cmp.Or(c.MaxInline, 256)
	c.MaxMemory = cmp.Or(c.MaxMemory, math.MaxInt64)
	c.Speed = cmp.Or(c.Speed, 100e9)
	d := &Device{
		fabric: f, host: host, config: c, guid: 0x0200_00ff_fe00_0000 + uint64(n), port: rdma.PortActive,
		contexts: map[*opened]struct{}{}, qps: map[uint32]*qp{}, mrs: map[uint32]*mr{}, cqs: map[*cq]struct{}{},
		nextQPN: 0x11 + uint32(n)<<12, nextKey: 0x100 + uint32(n)<<20,
	}
	f.devices = append(f.devices, d)
	d.setAddrs(c.Addrs)
	return d
}

// Name of the device on its host.
func (d *Device) Name() string { return d.config.Name }

// setAddrs fills the GID table. fabric.mu is held.
func (d *Device) setAddrs(addrs []string) {
	for g, dev := range d.fabric.gids {
		if dev == d {
			delete(d.fabric.gids, g)
		}
	}
	d.table = nil
	n := byte(d.guid)
	gids := []rdma.GID{{0: 0xfe, 1: 0x80, 8: 2, 11: 0xff, 12: 0xfe, 15: n + 1}}
	for _, a := range addrs {
		gids = append(gids, rdma.GIDOf(netip.MustParseAddr(a)))
	}
	for _, g := range gids {
		for _, t := range []rdma.GIDType{rdma.GIDRoCEv1, rdma.GIDRoCEv2} {
			d.table = append(d.table, rdma.GIDEntry{GID: g, Port: 1, Index: len(d.table), Type: t, Interface: d.config.Interface})
		}
		d.fabric.gids[g] = d
	}
}

// SetAddrs replaces the addresses of the port, and tells with EventGIDChange.
// Queue pairs that use one that is gone lose their packets.
func (d *Device) SetAddrs(addrs ...string) {
	d.fabric.settle(func() {
		d.setAddrs(addrs)
		d.tell(rdma.AsyncEvent{Type: rdma.EventGIDChange, Port: 1})
	})
}

// ShuffleGIDs gives every entry of the GID table another index, leaves holes
// where they were, and tells with EventGIDChange: what a port does that went
// down and up. Queue pairs that are connected go on.
func (d *Device) ShuffleGIDs() {
	d.fabric.mu.Lock()
	defer d.fabric.mu.Unlock()
	top := d.table[0].Index
	for _, e := range d.table {
		top = max(top, e.Index)
	}
	for i := range d.table {
		d.table[i].Index = top + len(d.table) - i
	}
	d.tell(rdma.AsyncEvent{Type: rdma.EventGIDChange, Port: 1})
}

// PortDown takes the port down, with EventPortError: nothing passes.
func (d *Device) PortDown() { d.setPort(rdma.PortDown, rdma.EventPortError) }

// PortUp takes the port up, with EventPortActive.
func (d *Device) PortUp() { d.setPort(rdma.PortActive, rdma.EventPortActive) }

func (d *Device) setPort(s rdma.PortState, e rdma.EventType) {
	d.fabric.settle(func() {
		d.port = s
		d.tell(rdma.AsyncEvent{Type: e, Port: 1})
	})
}

// Freeze makes the device stand still: requests that were posted stay where they
// are, nothing is answered, nothing is flushed, no time runs out. Verbs go on to
// work. It is what a virtual machine that was stopped looks like from outside,
// and a flush that never ends from inside.
func (d *Device) Freeze() { d.setFrozen(true) }

// Thaw lets a frozen device go on, with all that was posted.
func (d *Device) Thaw() { d.setFrozen(false) }

func (d *Device) setFrozen(frozen bool) {
	d.fabric.settle(func() {
		d.frozen = frozen
		for _, q := range d.qps {
			q.kick()
		}
	})
}

// Fatal is an error of the whole device: EventDeviceFatal, all queue pairs in
// error, every verb but those that close fails with EIO.
func (d *Device) Fatal() {
	d.fabric.settle(d.fatal)
}

func (d *Device) fatal() {
	d.dead = true
	d.faulty.Store(true)
	for _, q := range d.qps {
		q.setError()
	}
	d.tell(rdma.AsyncEvent{Type: rdma.EventDeviceFatal})
}

// Remove takes the device away, as by unplugging: Fatal, and it is not listed
// any more.
func (d *Device) Remove() {
	d.fabric.settle(func() {
		d.removed = true
		d.fatal()
	})
}

// Restore brings a device back after Fatal or Remove. What was made before stays
// broken.
func (d *Device) Restore() {
	d.fabric.mu.Lock()
	defer d.fabric.mu.Unlock()
	d.dead, d.removed, d.port = false, false, rdma.PortActive
	for o := range d.contexts {
		o.lost = true
	}
	d.faulty.Store(len(d.rules) > 0 || len(d.contexts) > 0)
}

// BreakCompletionQueues overruns all completion queues of the device: each gives
// EventCompletionQueueError and no completion any more, and its queue pairs are
// in error. Poll goes on to say that there is nothing.
func (d *Device) BreakCompletionQueues() {
	d.fabric.mu.Lock()
	defer d.fabric.mu.Unlock()
	for c := range d.cqs {
		d.overrun(c)
	}
}

// overrun kills a completion queue and the queue pairs on it. fabric.mu is held.
func (d *Device) overrun(c *cq) {
	if !c.die() {
		return
	}
	c.ctx.tell(rdma.AsyncEvent{Type: rdma.EventCompletionQueueError})
	for _, q := range d.qps {
		if (q.send == c || q.recv == c) && q.setError() {
			q.ctx.tell(rdma.AsyncEvent{Type: rdma.EventQueuePairFatal, QueuePair: q.num})
		}
	}
}

// tell gives an event to everybody who has the device open. fabric.mu is held.
func (d *Device) tell(e rdma.AsyncEvent) {
	for o := range d.contexts {
		o.tell(e)
	}
}
