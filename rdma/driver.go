package rdma

import "context"

// Driver executes verbs. The one of [Open] is libibverbs; rdmatest has another.
//
// The methods of the Driver interfaces are called by this package only, which
// checks arguments, order of Close and use after Close before, so that a driver
// need not: a driver's object is never used after its Close returned nil, never
// closed while it has children, and its methods, but for Close, may be called
// concurrently. NextEvent and Wait are the exception: they may begin while Close
// runs or just after it, and then return ErrClosed. Errors wrap the errno where
// the kernel gave one.
type Driver interface {
	// Name is for people: library and version.
	Name() string
	// Devices lists the devices of the host. No device is an empty list. Errors
	// are *UnavailableError where the machine cannot have any.
	Devices() ([]DeviceInfo, error)
	OpenDevice(name string) (DriverDevice, error)
}

// DriverDevice is an open device.
type DriverDevice interface {
	Attr() (DeviceAttr, error)
	Port(port int) (PortAttr, error)
	// GIDs returns the valid entries of the tables of all ports.
	GIDs() ([]GIDEntry, error)
	AllocProtectionDomain() (DriverPD, error)
	CreateCompletionChannel() (DriverChannel, error)
	// CreateCompletionQueue makes one with room for at least depth completions.
	// channel may be nil.
	CreateCompletionQueue(depth int, channel DriverChannel) (DriverCQ, error)
	// NextEvent blocks until there is an asynchronous event, ctx ends, or the
	// device was closed (ErrClosed). Close may be called while it blocks.
	NextEvent(ctx context.Context) (AsyncEvent, error)
	Close() error
}

// DriverPD is a protection domain.
type DriverPD interface {
	// Register makes mem known to the device. mem stays the caller's.
	Register(mem []byte, access Access) (DriverMR, error)
	CreateQueuePair(QueuePairConfig, DriverCQ, DriverCQ) (DriverQP, QueuePairLimits, error)
	// CheckAddress makes and drops an address handle: the proof that the entry
	// of the GID table in it works (ibv_create_ah).
	CheckAddress(AddressVector) error
	Close() error
}

// DriverMR is a memory region.
type DriverMR interface {
	LocalKey() uint32
	RemoteKey() uint32
	Close() error
}

// DriverChannel is a completion channel.
type DriverChannel interface {
	// Wait blocks until a completion queue of the channel has an event, ctx
	// ends, or the channel was closed (ErrClosed), which may happen meanwhile.
	// It takes and acknowledges all events that there are, and may return for
	// an event that an earlier call took already.
	Wait(ctx context.Context) error
	Close() error
}

// DriverCQ is a completion queue.
type DriverCQ interface {
	// RequestNotify asks for one event at the next completion, or the next one
	// that the peer marked as solicited. It must be followed by a Poll, since
	// what was there before gives no event.
	RequestNotify(solicitedOnly bool) error
	// Poll fills wcs and returns how many; 0 is not an error.
	Poll(wcs []WorkCompletion) (int, error)
	Close() error
}

// DriverQP is a reliable-connected queue pair, made in the state Reset.
type DriverQP interface {
	Number() uint32
	ToInit(InitAttr) error
	ToReadyToReceive(ReadyToReceiveAttr) error
	ToReadyToSend(ReadyToSendAttr) error
	// ToError flushes: every work request that was posted completes.
	ToError() error
	State() (QueuePairState, error)
	// PostSend posts as many as it can, in order, and returns how many. Fewer
	// than all comes with an error; the others were not posted. An error with
	// all of them leaves open whether the device saw them. Before
	// ready-to-send it is ErrState, as is PostReceive in Reset.
	PostSend([]SendRequest) (int, error)
	PostReceive([]ReceiveRequest) (int, error)
	// Close destroys the queue pair. Once it returned nil no write that came by
	// it can land any more. What was posted and not polled gives no completion.
	Close() error
}
