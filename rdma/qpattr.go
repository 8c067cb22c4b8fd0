package rdma

import (
	"errors"
	"fmt"
)

// Access are rights to registered memory, or those that a queue pair lets its
// peer use. Reading by the own device is always allowed.
type Access uint32

// Rights, as in ibv_reg_mr(3).
const (
	LocalWrite      Access = 1 << 0
	RemoteWrite     Access = 1 << 1 // needs LocalWrite on a memory region
	RemoteRead      Access = 1 << 2
	RelaxedOrdering Access = 1 << 20 // ignored where it is not known
	accessOfQueues         = RemoteWrite | RemoteRead
	accessOfMemory         = LocalWrite | RemoteWrite | RemoteRead | RelaxedOrdering
)

// QueuePairConfig sizes a queue pair.
type QueuePairConfig struct {
	MaxSend, MaxReceive       int // work requests outstanding
	MaxSendSGE, MaxReceiveSGE int // 1 to MaxSGE; 0 is 1
	MaxInline                 int // bytes
}

// QueuePairLimits is what a queue pair really has; at least what was asked.
type QueuePairLimits struct {
	MaxSend, MaxReceive, MaxSendSGE, MaxReceiveSGE, MaxInline int
}

// QueuePairState is the state of a queue pair; see ibv_modify_qp(3).
type QueuePairState uint8

// States of a queue pair.
const (
	StateReset QueuePairState = iota
	StateInit
	StateReadyToReceive
	StateReadyToSend
	StateSendQueueDrained
	StateSendQueueError
	StateError
)

func (s QueuePairState) String() string {
	names := [...]string{"RESET", "INIT", "RTR", "RTS", "SQD", "SQE", "ERR"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// InitAttr moves a queue pair from Reset to Init. From then on receives may be
// posted.
type InitAttr struct {
	Port      int
	PKeyIndex int
	// Access is what the peer may do: RemoteWrite on one that is written to,
	// nothing on one that only writes.
	Access Access
}

// ReadyToReceiveAttr moves a queue pair from Init to ready-to-receive.
// The call blocks while the peer's address is resolved, a second and more where
// nobody answers. That it succeeds says little: a wrong number, MTU or PSN
// shows only when data flows, a PSN that is behind not even then.
type ReadyToReceiveAttr struct {
	Address    AddressVector
	PathMTU    MTU // the smaller of both ports' active ones
	DestNumber uint32
	// PSN is the packet sequence number that the peer starts with: its SendPSN.
	// 24 bits, random.
	PSN         uint32
	MaxReads    uint8 // outstanding RDMA reads to answer
	MinRNRTimer uint8 // code of ibv_modify_qp(3); 12 is 0.64 ms
}

// ReadyToSendAttr moves a queue pair from ready-to-receive to ready-to-send.
type ReadyToSendAttr struct {
	PSN uint32 // 24 bits, random
	// Timeout of one try is 4.096 us << Timeout. 1 to 31; 0 would be for ever.
	Timeout uint8
	// RetryCount after timeouts, 0 to 6. 7 is for ever on rxe, so that it is
	// not taken.
	RetryCount uint8
	// RNRRetry after receiver-not-ready, 0 to 6. 7 is for ever.
	RNRRetry uint8
	MaxReads uint8 // outstanding RDMA reads
}

var errAttr = errors.New("bad attribute")

func (a *InitAttr) check() error {
	if a.Port < 1 || a.Port > 255 || a.PKeyIndex < 0 || a.PKeyIndex > 0xffff {
		return fmt.Errorf("%w: port %d, P_Key index %d", errAttr, a.Port, a.PKeyIndex)
	}
	if a.Access&^accessOfQueues != 0 {
		return fmt.Errorf("%w: access %#x of a queue pair", errAttr, a.Access)
	}
	return nil
}

func (a *ReadyToReceiveAttr) check() error {
	switch {
	case a.PathMTU.Bytes() == 0:
		return fmt.Errorf("%w: path MTU %d", errAttr, a.PathMTU)
	case a.PSN>>24 != 0 || a.DestNumber>>24 != 0:
		return fmt.Errorf("%w: PSN %#x and queue pair %#x have 24 bits", errAttr, a.PSN, a.DestNumber)
	case a.MinRNRTimer > 31:
		return fmt.Errorf("%w: RNR timer %d", errAttr, a.MinRNRTimer)
	}
	return a.Address.check()
}

func (a *AddressVector) check() error {
	if a.Port < 1 || a.Port > 255 || a.SourceIndex < 0 || a.SourceIndex > 0xffff || a.FlowLabel>>20 != 0 || a.ServiceLevel > 15 {
		return fmt.Errorf("%w: address %+v", errAttr, *a)
	}
	return nil
}

func (a *ReadyToSendAttr) check() error {
	switch {
	case a.PSN>>24 != 0:
		return fmt.Errorf("%w: PSN %#x has 24 bits", errAttr, a.PSN)
	case a.Timeout < 1 || a.Timeout > 31:
		return fmt.Errorf("%w: timeout %d is not within 1 to 31", errAttr, a.Timeout)
	case a.RetryCount > 6 || a.RNRRetry > 6:
		return fmt.Errorf("%w: retry count %d, RNR retry %d: 7 can mean for ever", errAttr, a.RetryCount, a.RNRRetry)
	}
	return nil
}
