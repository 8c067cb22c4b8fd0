//go:build cgo && linux

package ibv

// #include "shim.h"
import "C"

import (
	"syscall"
	"unsafe"
)

// PD is a protection domain.
type PD struct {
	l *Library
	p unsafe.Pointer
}

// AllocPD is ibv_alloc_pd(3).
func (c *Context) AllocPD() (*PD, error) {
	var e C.int
	p := C.xferv_alloc_pd(c.l.v, c.p, &e)
	if p == nil {
		return nil, syscall.Errno(e)
	}
	return &PD{c.l, p}, nil
}

// Close is ibv_dealloc_pd(3).
func (d *PD) Close() error { return fail(C.xferv_dealloc_pd(d.l.v, d.p)) }

// MR is a memory region.
type MR struct {
	l                   *Library
	p                   unsafe.Pointer
	LocalKey, RemoteKey uint32
}

// Register is ibv_reg_mr(3). The device keeps the address: mem is not of the Go
// heap.
func (d *PD) Register(mem []byte, access uint32) (*MR, error) {
	var (
		lkey, rkey C.uint32_t
		e          C.int
	)
	p := C.xferv_reg_mr(d.l.v, d.p, unsafe.Pointer(unsafe.SliceData(mem)), C.size_t(len(mem)), C.unsigned(access), &lkey, &rkey, &e)
	if p == nil {
		return nil, syscall.Errno(e)
	}
	return &MR{d.l, p, uint32(lkey), uint32(rkey)}, nil
}

// Close is ibv_dereg_mr(3).
func (m *MR) Close() error { return fail(C.xferv_dereg_mr(m.l.v, m.p)) }

func (a *Address) c() (out C.struct_xferv_address) {
	for i, b := range a.DGID {
		out.dgid[i] = C.uint8_t(b)
	}
	out.flow_label, out.dlid, out.port = C.uint32_t(a.FlowLabel), C.uint16_t(a.DLID), C.uint8_t(a.Port)
	out.sgid_index, out.hop_limit = C.uint8_t(a.SGIDIndex), C.uint8_t(a.HopLimit)
	out.traffic_class, out.sl = C.uint8_t(a.TrafficClass), C.uint8_t(a.SL)
	if a.Global {
		out.is_global = 1
	}
	return out
}

// CheckAddress makes an address handle and destroys it.
func (d *PD) CheckAddress(a Address) error {
	ca := a.c()
	return fail(C.xferv_check_address(d.l.v, d.p, &ca))
}

// CQ is a completion queue.
type CQ struct {
	l *Library
	p unsafe.Pointer
}

// CreateCQ is ibv_create_cq(3); channel may be nil.
func (c *Context) CreateCQ(depth int, channel *Channel) (*CQ, error) {
	var (
		ch unsafe.Pointer
		e  C.int
	)
	if channel != nil {
		ch = channel.p
	}
	p := C.xferv_create_cq(c.l.v, c.p, C.int(depth), ch, &e)
	if p == nil {
		return nil, syscall.Errno(e)
	}
	return &CQ{c.l, p}, nil
}

// Close is ibv_destroy_cq(3). It waits for a Wait that has an event of the queue
// in hand.
func (q *CQ) Close() error { return fail(C.xferv_destroy_cq(q.l.v, q.p)) }
