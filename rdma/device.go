package rdma

import (
	"context"
	"fmt"
)

// Device is an open device.
type Device struct {
	life
	d    DriverDevice
	name string
}

// Name of the device, such as mlx5_0.
func (d *Device) Name() string { return d.name }

// Attr asks for the limits; see ibv_query_device(3).
func (d *Device) Attr() (DeviceAttr, error) {
	if err := d.enter(); err != nil {
		return DeviceAttr{}, err
	}
	defer d.leave()
	a, err := d.d.Attr()
	return a, verb(d.name, "ibv_query_device", err, nil)
}

// Port asks for the state of a port, counted from 1; see ibv_query_port(3).
func (d *Device) Port(port int) (PortAttr, error) {
	if err := d.enter(); err != nil {
		return PortAttr{}, err
	}
	defer d.leave()
	a, err := d.d.Port(port)
	return a, verb(d.name, "ibv_query_port", err, nil)
}

// GIDs lists the valid entries of the GID tables of all ports. The indices hold
// until the next EventGIDChange.
func (d *Device) GIDs() ([]GIDEntry, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.leave()
	g, err := d.d.GIDs()
	return g, verb(d.name, "ibv_query_gid_table", err, nil)
}

// AllocProtectionDomain makes a protection domain; see ibv_alloc_pd(3). A
// remote key is valid only for queue pairs of the domain of its memory region.
func (d *Device) AllocProtectionDomain() (*ProtectionDomain, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.leave()
	pd := &ProtectionDomain{dev: d}
	err := d.sys.blocking(func() (err error) {
		pd.d, err = d.d.AllocProtectionDomain()
		return err
	})
	if err != nil {
		return nil, verb(d.name, "ibv_alloc_pd", err, hintObjects)
	}
	pd.born(d.sys, "protection domain", &d.life)
	return pd, nil
}

// CreateCompletionChannel makes a channel on which completion queues can wake
// somebody; see ibv_create_comp_channel(3).
func (d *Device) CreateCompletionChannel() (*CompletionChannel, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.leave()
	c := &CompletionChannel{dev: d}
	err := d.sys.blocking(func() (err error) {
		c.d, err = d.d.CreateCompletionChannel()
		return err
	})
	if err != nil {
		return nil, verb(d.name, "ibv_create_comp_channel", err, hintObjects)
	}
	c.born(d.sys, "completion channel", &d.life)
	return c, nil
}

// CreateCompletionQueue makes a completion queue with room for depth
// completions; see ibv_create_cq(3). channel may be nil, for one that is only
// polled. Give it at least the sum of what can be outstanding on its queue
// pairs: an overflow kills the queue and all queue pairs on it.
func (d *Device) CreateCompletionQueue(depth int, channel *CompletionChannel) (*CompletionQueue, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.leave()
	if depth < 1 {
		return nil, fmt.Errorf("%w: depth %d", errAttr, depth)
	}
	q := &CompletionQueue{dev: d}
	parents := []*life{&d.life}
	var ch DriverChannel
	if channel != nil {
		if err := channel.enter(); err != nil {
			return nil, err
		}
		defer channel.leave()
		parents, ch = append(parents, &channel.life), channel.d
	}
	err := d.sys.blocking(func() (err error) {
		q.d, err = d.d.CreateCompletionQueue(depth, ch)
		return err
	})
	if err != nil {
		return nil, verb(d.name, "ibv_create_cq", err, hintObjects)
	}
	q.born(d.sys, "completion queue", parents...)
	return q, nil
}

// NextEvent waits for an asynchronous event, which it acknowledges; see
// ibv_get_async_event(3). It returns ctx's error, or ErrClosed when the device
// is closed meanwhile.
func (d *Device) NextEvent(ctx context.Context) (AsyncEvent, error) {
	// Not under enter: Close has to be possible while this blocks.
	d.mu.RLock()
	closed := d.closed
	d.mu.RUnlock()
	if closed {
		return AsyncEvent{}, fmt.Errorf("%w: %s", ErrClosed, d.kind)
	}
	return d.d.NextEvent(ctx)
}

// Close closes the device; see ibv_close_device(3).
func (d *Device) Close() error {
	return d.end(func() error {
		return verb(d.name, "ibv_close_device", d.sys.blocking(d.d.Close), nil)
	})
}
