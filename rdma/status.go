package rdma

import "fmt"

// Status of a work completion. The numbers are those of enum ibv_wc_status.
type Status uint32

// What can become of a work request.
const (
	Success                 Status = 0
	LocalLengthError        Status = 1
	LocalQueuePairError     Status = 2
	LocalEEContextError     Status = 3
	LocalProtectionError    Status = 4
	Flushed                 Status = 5
	MemoryWindowBindError   Status = 6
	BadResponseError        Status = 7
	LocalAccessError        Status = 8
	RemoteInvalidRequest    Status = 9
	RemoteAccessError       Status = 10
	RemoteOperationError    Status = 11
	RetryExceeded           Status = 12
	ReceiverNotReadyRetries Status = 13
	LocalRDDViolation       Status = 14
	RemoteInvalidRDRequest  Status = 15
	RemoteAborted           Status = 16
	InvalidEEContextNumber  Status = 17
	InvalidEEContextState   Status = 18
	FatalError              Status = 19
	ResponseTimeout         Status = 20
	GeneralError            Status = 21
)

type meaning struct{ name, text, hint string }

var statuses = [...]meaning{
	Success:                 {"SUCCESS", "done", ""},
	LocalLengthError:        {"LOC_LEN_ERR", "the message is longer than a receive buffer or than the port's limit", "this is a defect of the program that posted it"},
	LocalQueuePairError:     {"LOC_QP_OP_ERR", "the work request is malformed", "this is a defect of the program that posted it; on rxe also a local key of another domain, or that the network device is gone"},
	LocalEEContextError:     {"LOC_EEC_OP_ERR", "end-to-end context error", "not used with reliable connections"},
	LocalProtectionError:    {"LOC_PROT_ERR", "local memory is not registered, or not any more", "memory was deregistered while in use, or the key is of another protection domain"},
	Flushed:                 {"WR_FLUSH_ERR", "given up because its queue pair is in error", "the first completion that failed otherwise is the cause"},
	MemoryWindowBindError:   {"MW_BIND_ERR", "memory window bind error", ""},
	BadResponseError:        {"BAD_RESP_ERR", "the peer's answer breaks the protocol", "look at drivers and firmware of both ends"},
	LocalAccessError:        {"LOC_ACCESS_ERR", "the data of a peer cannot be put into local memory", "the memory lacks local write access"},
	RemoteInvalidRequest:    {"REM_INV_REQ_ERR", "the peer does not allow such a request", "path MTU of both ends, and the rights of the peer's queue pair"},
	RemoteAccessError:       {"REM_ACCESS_ERR", "the peer does not allow access to that memory", "expected after the peer fenced; otherwise key, address or length are wrong"},
	RemoteOperationError:    {"REM_OP_ERR", "the peer's device could not do it", "look at the peer's kernel log"},
	RetryExceeded:           {"RETRY_EXC_ERR", "no acknowledgement", "the peer, its queue pair, the port or the path is gone, or only the acknowledgement was lost: what was sent may have landed"},
	ReceiverNotReadyRetries: {"RNR_RETRY_EXC_ERR", "the peer has no receive posted", "the peer is stuck or its credits are wrong"},
	LocalRDDViolation:       {"LOC_RDD_VIOL_ERR", "reliable datagram domain violation", "not used with reliable connections"},
	RemoteInvalidRDRequest:  {"REM_INV_RD_REQ_ERR", "invalid reliable datagram request", "not used with reliable connections"},
	RemoteAborted:           {"REM_ABORT_ERR", "the peer aborted the operation", ""},
	InvalidEEContextNumber:  {"INV_EECN_ERR", "invalid end-to-end context number", "not used with reliable connections"},
	InvalidEEContextState:   {"INV_EEC_STATE_ERR", "invalid end-to-end context state", "not used with reliable connections"},
	FatalError:              {"FATAL_ERR", "the device failed", "look at the kernel log; the device may need a reset"},
	ResponseTimeout:         {"RESP_TIMEOUT_ERR", "no response in time", ""},
	GeneralError:            {"GENERAL_ERR", "the device reports an error of no kind", "look at the kernel log"},
}

func (s Status) of() meaning {
	if int(s) < len(statuses) {
		return statuses[s]
	}
	return meaning{fmt.Sprintf("STATUS_%d", uint32(s)), "a status that is not known here", "a newer driver may have it"}
}

// String returns the name that perftest and kernel logs use, without IBV_WC_.
func (s Status) String() string { return s.of().name }

// Meaning says in words what happened.
func (s Status) Meaning() string { return s.of().text }

// Hint says where to look; it may be empty.
func (s Status) Hint() string { return s.of().hint }

// CompletionError is a work request that failed.
type CompletionError struct {
	Status      Status
	VendorError uint32 // of the device's own making; 0 where there is none
	QueuePair   uint32
}

func (e *CompletionError) Error() string {
	text := fmt.Sprintf("queue pair %#x: %s: %s", e.QueuePair, e.Status, e.Status.Meaning())
	if e.VendorError != 0 {
		text += fmt.Sprintf(" (vendor error %#x)", e.VendorError)
	}
	return text
}

// Err returns nil for Success, else a *CompletionError.
func (c *WorkCompletion) Err() error {
	if c.Status == Success {
		return nil
	}
	return &CompletionError{c.Status, c.VendorError, c.QueuePair}
}
