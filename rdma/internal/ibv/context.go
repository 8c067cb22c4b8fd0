//go:build cgo && linux

package ibv

// #include "shim.h"
import "C"

import (
	"context"
	"slices"
	"syscall"
	"unsafe"
)

// Context is an open device.
type Context struct {
	l     *Library
	p     unsafe.Pointer
	async *waiter
}

func newContext(l *Library, p unsafe.Pointer, name string) (*Context, error) {
	w, err := newWaiter(int(C.xferv_async_fd(p)), name+" events")
	if err != nil {
		C.xferv_close(l.v, p)
		return nil, err
	}
	return &Context{l: l, p: p, async: w}, nil
}

// Close closes the device; NextEvent returns os.ErrClosed from then on, and is
// out before the device is touched.
func (c *Context) Close() error {
	c.async.close()
	return fail(C.xferv_close(c.l.v, c.p))
}

// Attr is ibv_query_device(3).
func (c *Context) Attr() (DeviceAttr, error) {
	var a C.struct_xferv_device_attr
	if err := fail(C.xferv_query_device(c.l.v, c.p, &a)); err != nil {
		return DeviceAttr{}, err
	}
	return DeviceAttr{
		Firmware: C.GoString(&a.firmware[0]), MaxMRSize: uint64(a.max_mr_size),
		VendorID: uint32(a.vendor_id), VendorPart: uint32(a.vendor_part),
		Ports: int(a.ports), MaxQP: int(a.max_qp), MaxQPWR: int(a.max_qp_wr), MaxSGE: int(a.max_sge),
		MaxCQ: int(a.max_cq), MaxCQE: int(a.max_cqe), MaxMR: int(a.max_mr), MaxPD: int(a.max_pd),
		MaxQPRdAtom: int(a.max_qp_rd_atom), MaxQPInitRdAtom: int(a.max_qp_init_rd_atom), AckDelay: int(a.ack_delay),
	}, nil
}

// Port is ibv_query_port(3).
func (c *Context) Port(port int) (PortAttr, error) {
	var a C.struct_xferv_port_attr
	if err := fail(C.xferv_query_port(c.l.v, c.p, C.int(port), &a)); err != nil {
		return PortAttr{}, err
	}
	return PortAttr{
		MaxMessage: uint32(a.max_msg_sz), GIDTableLen: int(a.gid_tbl_len),
		LID: uint16(a.lid), SMLID: uint16(a.sm_lid), PKeyTableLen: uint16(a.pkey_tbl_len),
		State: uint8(a.state), LinkLayer: uint8(a.link_layer), ActiveMTU: uint8(a.active_mtu), MaxMTU: uint8(a.max_mtu),
		ActiveWidth: uint8(a.active_width), ActiveSpeed: uint8(a.active_speed), GRHRequired: a.grh_required != 0,
	}, nil
}

// GIDs lists the valid entries of the GID tables of all ports.
func (c *Context) GIDs() ([]GID, error) {
	attr, err := c.Attr()
	if err != nil {
		return nil, err
	}
	size := 0
	for port := range attr.Ports {
		p, err := c.Port(port + 1)
		if err != nil {
			return nil, err
		}
		size += p.GIDTableLen
	}
	if size == 0 {
		return nil, nil
	}
	table := make([]C.struct_xferv_gid, size)
	n := C.xferv_gids(c.l.v, c.p, C.int(attr.Ports), &table[0], C.int(size))
	if err := fail(n); err != nil {
		return nil, err
	}
	gids := make([]GID, 0, n)
	for _, e := range table[:min(int(n), size)] {
		g := GID{Index: uint32(e.index), Port: uint32(e.port), Type: uint32(e._type), Interface: uint32(e.ifindex)}
		for i, b := range e.gid {
			g.GID[i] = byte(b)
		}
		gids = append(gids, g)
	}
	return slices.Clip(gids), nil
}

// NextEvent waits for an asynchronous event, which it acknowledges.
func (c *Context) NextEvent(ctx context.Context) (Event, error) {
	var (
		e  C.struct_xferv_event
		rc C.int
	)
	err := c.async.wait(ctx, func() bool {
		for {
			rc = C.xferv_next_event(c.l.v, c.p, &e)
			if rc != -C.int(syscall.EINTR) {
				return rc != -C.int(syscall.EAGAIN)
			}
		}
	})
	if err == nil {
		err = fail(rc)
	}
	return Event{Type: uint32(e._type), Port: uint32(e.port), QP: uint32(e.qp)}, err
}

// Channel is a completion channel.
type Channel struct {
	l *Library
	p unsafe.Pointer
	w *waiter
}

// CreateChannel is ibv_create_comp_channel(3).
func (c *Context) CreateChannel() (*Channel, error) {
	var e C.int
	p := C.xferv_create_channel(c.l.v, c.p, &e)
	if p == nil {
		return nil, syscall.Errno(e)
	}
	w, err := newWaiter(int(C.xferv_channel_fd(p)), "completion channel")
	if err != nil {
		C.xferv_destroy_channel(c.l.v, p)
		return nil, err
	}
	return &Channel{c.l, p, w}, nil
}

// Wait waits for an event of any queue of the channel, and acknowledges all that
// there are.
func (c *Channel) Wait(ctx context.Context) error {
	var n C.int
	err := c.w.wait(ctx, func() bool {
		n = C.xferv_next_cq_events(c.l.v, c.p)
		return n != 0
	})
	if err == nil {
		err = fail(n)
	}
	return err
}

// Close destroys the channel; Wait returns os.ErrClosed from then on, and is out
// before.
func (c *Channel) Close() error {
	c.w.close()
	return fail(C.xferv_destroy_channel(c.l.v, c.p))
}
