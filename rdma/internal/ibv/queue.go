//go:build cgo && linux

package ibv

/*
#cgo noescape xferv_post_send
#cgo nocallback xferv_post_send
#cgo noescape xferv_post_recv
#cgo nocallback xferv_post_recv
#cgo noescape xferv_poll
#cgo nocallback xferv_poll
#cgo nocallback xferv_req_notify
#include "shim.h"
*/
import "C"

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

// RequestNotify is ibv_req_notify_cq(3).
func (q *CQ) RequestNotify(solicitedOnly bool) error {
	var only C.int
	if solicitedOnly {
		only = 1
	}
	return fail(C.xferv_req_notify(q.p, only))
}

// Poll writes at most n completions to the array of records at wcs, and returns
// how many.
func (q *CQ) Poll(wcs unsafe.Pointer, n int) (int, error) {
	if n == 0 {
		return 0, nil
	}
	got := C.xferv_poll(q.p, (*C.struct_xferv_wc)(wcs), C.int(n))
	if got < 0 {
		return 0, syscall.Errno(-got)
	}
	return int(got), nil
}

// QP is a reliable-connected queue pair.
type QP struct {
	l      *Library
	p      unsafe.Pointer
	number uint32
	// state is that of the last transition which succeeded. Providers put what
	// is posted too early into the ring all the same, from where it would go
	// out later.
	state atomic.Uint32
}

// States of enum ibv_qp_state.
const (
	stateReset = 0
	stateInit  = 1
	stateRTR   = 2
	stateRTS   = 3
	stateErr   = 6
)

// CreateQP is ibv_create_qp(3). It returns what the queue pair really has.
func (d *PD) CreateQP(send, recv *CQ, want QPCap) (*QP, QPCap, error) {
	var (
		c = C.struct_xferv_qp_cap{
			send_wr: C.uint32_t(want.SendWR), recv_wr: C.uint32_t(want.RecvWR),
			send_sge: C.uint32_t(want.SendSGE), recv_sge: C.uint32_t(want.RecvSGE), inline_data: C.uint32_t(want.Inline),
		}
		number C.uint32_t
		e      C.int
	)
	p := C.xferv_create_qp(d.l.v, d.p, send.p, recv.p, &c, &number, &e)
	if p == nil {
		return nil, QPCap{}, syscall.Errno(e)
	}
	have := QPCap{uint32(c.send_wr), uint32(c.recv_wr), uint32(c.send_sge), uint32(c.recv_sge), uint32(c.inline_data)}
	return &QP{l: d.l, p: p, number: uint32(number)}, have, nil
}

// Number is the number that the peer needs.
func (q *QP) Number() uint32 { return q.number }

// Close is ibv_destroy_qp(3).
func (q *QP) Close() error { return fail(C.xferv_destroy_qp(q.l.v, q.p)) }

func (q *QP) moved(rc C.int, state uint32) error {
	if rc == 0 {
		q.state.Store(state)
	}
	return fail(rc)
}

// ToInit is ibv_modify_qp(3) to INIT, and so on.
func (q *QP) ToInit(port, pkeyIndex int, access uint32) error {
	return q.moved(C.xferv_to_init(q.l.v, q.p, C.int(port), C.int(pkeyIndex), C.unsigned(access)), stateInit)
}

// ToRTR resolves the peer's address, which can take a second and more.
func (q *QP) ToRTR(a RTR) error {
	c := C.struct_xferv_rtr{
		address: a.Address.c(), dest_qp: C.uint32_t(a.DestQP), psn: C.uint32_t(a.PSN), path_mtu: C.uint8_t(a.PathMTU),
		max_dest_rd_atomic: C.uint8_t(a.MaxDestRdAtomic), min_rnr_timer: C.uint8_t(a.MinRNRTimer),
	}
	return q.moved(C.xferv_to_rtr(q.l.v, q.p, &c), stateRTR)
}

// ToRTS lets it send.
func (q *QP) ToRTS(a RTS) error {
	c := C.struct_xferv_rts{
		psn: C.uint32_t(a.PSN), timeout: C.uint8_t(a.Timeout), retry_cnt: C.uint8_t(a.RetryCount),
		rnr_retry: C.uint8_t(a.RNRRetry), max_rd_atomic: C.uint8_t(a.MaxRdAtomic),
	}
	return q.moved(C.xferv_to_rts(q.l.v, q.p, &c), stateRTS)
}

// ToErr flushes it.
func (q *QP) ToErr() error { return q.moved(C.xferv_to_err(q.l.v, q.p), stateErr) }

// State asks the device.
func (q *QP) State() (int, error) {
	s := C.xferv_state(q.l.v, q.p)
	return int(s), fail(s)
}

// PostSend posts the n records at rs and returns how many were. An error of the
// doorbell counts its requests as posted: they are in the queue.
func (q *QP) PostSend(rs unsafe.Pointer, n int) (int, error) {
	if q.state.Load() < stateRTS {
		return 0, ErrState
	}
	if n == 0 {
		return 0, nil
	}
	return posted(C.xferv_post_send(q.p, (*C.struct_xferv_send)(rs), C.int(n)))
}

// PostReceive posts receives, from INIT on.
func (q *QP) PostReceive(rs unsafe.Pointer, n int) (int, error) {
	if q.state.Load() < stateInit {
		return 0, ErrState
	}
	if n == 0 {
		return 0, nil
	}
	return posted(C.xferv_post_recv(q.p, (*C.struct_xferv_recv)(rs), C.int(n)))
}

func posted(r C.int64_t) (int, error) {
	n := int(uint32(r))
	if e := r >> 32; e != 0 {
		return n, syscall.Errno(e)
	}
	return n, nil
}
