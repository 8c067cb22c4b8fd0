package rdma

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"github.com/xferd/xferd/rdma/internal/ibv"
)

type verbsPD struct{ p *ibv.PD }

// Register passes the rights as they are: they have the numbers of enum
// ibv_access_flags. RelaxedOrdering is dropped below where library or kernel do
// not know it.
func (p verbsPD) Register(mem []byte, access Access) (DriverMR, error) {
	m, err := p.p.Register(mem, uint32(access))
	if err != nil {
		return nil, err
	}
	return verbsMR{m}, nil
}

func (p verbsPD) CreateQueuePair(c QueuePairConfig, send, receive DriverCQ) (DriverQP, QueuePairLimits, error) {
	q, have, err := p.p.CreateQP(send.(verbsCQ).q, receive.(verbsCQ).q, ibv.QPCap{
		SendWR: uint32(c.MaxSend), RecvWR: uint32(c.MaxReceive),
		SendSGE: uint32(c.MaxSendSGE), RecvSGE: uint32(c.MaxReceiveSGE), Inline: uint32(c.MaxInline),
	})
	if err != nil {
		return nil, QueuePairLimits{}, err
	}
	return verbsQP{q}, QueuePairLimits{
		MaxSend: int(have.SendWR), MaxReceive: int(have.RecvWR),
		MaxSendSGE: int(have.SendSGE), MaxReceiveSGE: int(have.RecvSGE), MaxInline: int(have.Inline),
	}, nil
}

func (p verbsPD) CheckAddress(a AddressVector) error {
	addr, err := address(&a)
	if err != nil {
		return err
	}
	return p.p.CheckAddress(addr)
}

func (p verbsPD) Close() error { return p.p.Close() }

func address(a *AddressVector) (ibv.Address, error) {
	if a.SourceIndex > 255 { // the field of struct ibv_global_route is a byte
		return ibv.Address{}, fmt.Errorf("entry %d of the GID table: %w", a.SourceIndex, syscall.EINVAL)
	}
	return ibv.Address{
		DGID: a.DestGID, FlowLabel: a.FlowLabel, DLID: a.DestLID, Port: uint8(a.Port), SGIDIndex: uint8(a.SourceIndex),
		HopLimit: a.HopLimit, TrafficClass: a.TrafficClass, SL: a.ServiceLevel, Global: a.Global,
	}, nil
}

type verbsMR struct{ m *ibv.MR }

func (m verbsMR) LocalKey() uint32  { return m.m.LocalKey }
func (m verbsMR) RemoteKey() uint32 { return m.m.RemoteKey }
func (m verbsMR) Close() error      { return m.m.Close() }

type verbsCQ struct{ q *ibv.CQ }

func (q verbsCQ) RequestNotify(solicitedOnly bool) error { return q.q.RequestNotify(solicitedOnly) }

func (q verbsCQ) Poll(wcs []WorkCompletion) (int, error) {
	return q.q.Poll(unsafe.Pointer(unsafe.SliceData(wcs)), len(wcs))
}

func (q verbsCQ) Close() error { return q.q.Close() }

type verbsQP struct{ q *ibv.QP }

func (q verbsQP) Number() uint32 { return q.q.Number() }

func (q verbsQP) ToInit(a InitAttr) error { return q.q.ToInit(a.Port, a.PKeyIndex, uint32(a.Access)) }

func (q verbsQP) ToReadyToReceive(a ReadyToReceiveAttr) error {
	addr, err := address(&a.Address)
	if err != nil {
		return err
	}
	return q.q.ToRTR(ibv.RTR{
		Address: addr, DestQP: a.DestNumber, PSN: a.PSN, PathMTU: uint8(a.PathMTU),
		MaxDestRdAtomic: a.MaxReads, MinRNRTimer: a.MinRNRTimer,
	})
}

func (q verbsQP) ToReadyToSend(a ReadyToSendAttr) error {
	return q.q.ToRTS(ibv.RTS{PSN: a.PSN, Timeout: a.Timeout, RetryCount: a.RetryCount, RNRRetry: a.RNRRetry, MaxRdAtomic: a.MaxReads})
}

func (q verbsQP) ToError() error { return q.q.ToErr() }

func (q verbsQP) State() (QueuePairState, error) {
	s, err := q.q.State()
	if err != nil {
		return 0, err
	}
	return QueuePairState(s), nil
}

func (q verbsQP) PostSend(rs []SendRequest) (int, error) {
	n, err := q.q.PostSend(unsafe.Pointer(unsafe.SliceData(rs)), len(rs))
	return n, early(err)
}

func (q verbsQP) PostReceive(rs []ReceiveRequest) (int, error) {
	n, err := q.q.PostReceive(unsafe.Pointer(unsafe.SliceData(rs)), len(rs))
	return n, early(err)
}

// early gives a post before its time the error of this package.
func early(err error) error {
	if errors.Is(err, ibv.ErrState) {
		return ErrState
	}
	return err
}

func (q verbsQP) Close() error { return q.q.Close() }
