package rdma

// MaxSGE is the number of scatter/gather elements that a work request has room
// for.
const MaxSGE = 4

// SGE is a piece of registered local memory. The layout of the types in this
// file is shared with C: fixed sizes, no pointers.
type SGE struct {
	Addr   uint64
	Length uint32 // bytes
	Key    uint32 // MemoryRegion.LocalKey
}

// Opcode of a send request.
type Opcode uint32

// What a send request does. The numbers are those of enum ibv_wr_opcode.
const (
	OpWrite        Opcode = 0
	OpWriteWithImm Opcode = 1
	OpSend         Opcode = 2
	OpSendWithImm  Opcode = 3
	OpRead         Opcode = 4
)

// SendFlags of a send request. The numbers are those of enum ibv_send_flags.
type SendFlags uint32

// Flags of a send request.
const (
	Fence     SendFlags = 1 << 0 // after earlier reads
	Signaled  SendFlags = 1 << 1 // gives a completion
	Solicited SendFlags = 1 << 2 // wakes a peer that waits for solicited events
	Inline    SendFlags = 1 << 3 // the memory is read by PostSend itself
)

// SendRequest is one work request of a send queue; see ibv_post_send(3).
type SendRequest struct {
	ID         uint64 // comes back in the completion
	RemoteAddr uint64
	RemoteKey  uint32
	Imm        uint32 // host byte order
	Op         Opcode
	Flags      SendFlags
	NumSGE     uint32 // 0 is a message without bytes
	_          uint32
	SGE        [MaxSGE]SGE
}

// ReceiveRequest is one work request of a receive queue; see ibv_post_recv(3).
type ReceiveRequest struct {
	ID     uint64
	NumSGE uint32
	_      uint32
	SGE    [MaxSGE]SGE
}

// WorkCompletion tells what became of a work request; see ibv_poll_cq(3). Where
// Status is not Success only ID, Status, VendorError and QueuePair are valid.
type WorkCompletion struct {
	ID          uint64
	Status      Status
	Op          CompletionOp
	VendorError uint32
	Bytes       uint32 // of a receive
	Imm         uint32 // host byte order, where HasImm
	QueuePair   uint32 // number of the local queue pair
	Flags       CompletionFlags
	_           uint32
}

// CompletionOp tells which request completed. The numbers are those of enum
// ibv_wc_opcode.
type CompletionOp uint32

// Requests that complete.
const (
	CompletedSend           CompletionOp = 0
	CompletedWrite          CompletionOp = 1
	CompletedRead           CompletionOp = 2
	CompletedReceive        CompletionOp = 128
	CompletedReceiveWithImm CompletionOp = 129 // of a peer's OpWriteWithImm
)

// CompletionFlags of a completion. The numbers are those of enum ibv_wc_flags.
type CompletionFlags uint32

// HasImm: Imm is valid.
const HasImm CompletionFlags = 1 << 1
