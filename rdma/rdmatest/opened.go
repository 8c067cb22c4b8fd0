package rdmatest

import (
	"context"
	"fmt"
	"slices"
	"syscall"

	"github.com/xferd/xferd/rdma"
)

// opened is a device that somebody opened.
type opened struct {
	dev  *Device
	news chan struct{} // 1: there are events
	gone chan struct{} // closed by Close

	// Guarded by fabric.mu.
	events []rdma.AsyncEvent
	lost   bool // the device died and came back
}

// verb takes the fabric's lock, which its caller gives back, and applies faults.
func (o *opened) verb(v Verb) error {
	o.dev.fabric.mu.Lock()
	if o.lost && !v.closes() {
		return syscall.EIO
	}
	return o.dev.verb(v)
}

func (o *opened) unlock() { o.dev.fabric.mu.Unlock() }

func (o *opened) Attr() (rdma.DeviceAttr, error) {
	defer o.unlock()
	if err := o.verb(VerbQueryDevice); err != nil {
		return rdma.DeviceAttr{}, err
	}
	return rdma.DeviceAttr{
		VendorID: 0xfa4e, VendorPart: 1, Firmware: "0.0", Ports: 1,
		MaxQueuePairs: maxQueuePairs, MaxQueuePairRequests: maxRequests, MaxScatterGather: rdma.MaxSGE,
		MaxCompletionQueues: 1 << 16, MaxCompletions: maxCompletions,
		MaxMemoryRegions: 1 << 16, MaxMemoryRegionSize: 1 << 40, MaxProtectionDomains: 1 << 16,
		MaxReadsAsTarget: 16, MaxReadsAsInitiator: 16, AckDelay: 15, Software: true,
	}, nil
}

// Limits of every device.
const (
	maxQueuePairs  = 1 << 12
	maxRequests    = 1 << 14
	maxCompletions = 1 << 16
)

func (o *opened) Port(port int) (rdma.PortAttr, error) {
	defer o.unlock()
	if err := o.verb(VerbQueryPort); err != nil {
		return rdma.PortAttr{}, err
	}
	if port != 1 {
		return rdma.PortAttr{}, syscall.EINVAL
	}
	c := &o.dev.config
	return rdma.PortAttr{
		Port: 1, State: o.dev.port, LinkLayer: rdma.LinkEthernet, ActiveMTU: c.MTU, MaxMTU: rdma.MTU4096,
		MaxMessage: c.MaxMessage, GIDTableLen: 256, PKeyTableLen: 1, Speed: c.Speed,
	}, nil
}

func (o *opened) GIDs() ([]rdma.GIDEntry, error) {
	defer o.unlock()
	if err := o.verb(VerbQueryGIDs); err != nil {
		return nil, err
	}
	return slices.Clone(o.dev.table), nil
}

// source returns the entry of the GID table with an index. fabric.mu is held.
func (d *Device) source(a *rdma.AddressVector) (rdma.GIDEntry, error) {
	if a.Port != 1 || !a.Global {
		return rdma.GIDEntry{}, fmt.Errorf("an address on Ethernet is global and of port 1: %w", syscall.EINVAL)
	}
	i := slices.IndexFunc(d.table, func(e rdma.GIDEntry) bool { return e.Index == a.SourceIndex })
	if i < 0 {
		return rdma.GIDEntry{}, syscall.ENODATA
	}
	return d.table[i], nil
}

func (o *opened) NextEvent(ctx context.Context) (rdma.AsyncEvent, error) {
	for {
		o.dev.fabric.mu.Lock()
		if len(o.events) > 0 {
			e := o.events[0]
			o.events = o.events[1:]
			if len(o.events) > 0 {
				o.ring()
			}
			o.unlock()
			return e, nil
		}
		o.unlock()
		select {
		case <-o.news:
		case <-o.gone:
			return rdma.AsyncEvent{}, rdma.ErrClosed
		case <-ctx.Done():
			return rdma.AsyncEvent{}, ctx.Err()
		}
	}
}

// tell queues an event. fabric.mu is held.
func (o *opened) tell(e rdma.AsyncEvent) {
	o.events = append(o.events, e)
	o.ring()
}

func (o *opened) ring() {
	select {
	case o.news <- struct{}{}:
	default:
	}
}

func (o *opened) Close() error {
	defer o.unlock()
	if err := o.verb(VerbCloseDevice); err != nil {
		return err
	}
	delete(o.dev.contexts, o)
	o.dev.counters.Contexts--
	close(o.gone)
	return nil
}
