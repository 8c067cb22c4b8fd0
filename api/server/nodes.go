package server

import (
	"context"
	"net/netip"
	"time"

	"google.golang.org/grpc"

	"github.com/xferd/xferd/transfer"
)

// NodeState says whether a node is there.
type NodeState uint8

const (
	NodeAlive NodeState = iota + 1
	NodeFailed
	NodeLeft
)

// Node is one node as this one knows it.
type Node struct {
	ID          transfer.NodeID
	State       NodeState
	Draining    bool
	Insecure    bool
	Duplicate   bool // two processes claim the id
	Version     string
	ControlAddr string // host:port
	DataAddr    string
	Labels      map[string]string
	Transports  []NodeTransport // best first
	Since       time.Time       // of State
	Started     time.Time
	LastSeen    time.Time
}

// NodeTransport is one way of a node to move bytes.
type NodeTransport struct {
	Name   string
	Usable bool
	Reason string // why it is not usable
	Detail string
}

// Load is what a node has to do.
type Load struct{ Queued, Running int }

// FailingFS is a file system of destinations on which a write or a sync failed.
type FailingFS struct {
	Dir   string // one of its directories, absolute
	Since time.Time
	Err   error // the first failure
}

// Nodes is the membership. Its methods do not block, but for Changes, Drain and RDMA.
type Nodes interface {
	// List returns all nodes that are known, this one included, by id, and the
	// revision of that view.
	List() ([]Node, uint64)
	// Changes returns the nodes that changed after a revision, each once and as
	// it is now, and the revision up to which that is complete. It blocks until
	// there is one or ctx ends; that is no error. A revision from the future is
	// COMPACTED.
	Changes(ctx context.Context, since uint64) ([]Node, uint64, error)
	// View tells this view from others: it changes with every start of the
	// process, and revisions of two can not be compared.
	View() string
	// Drain sets durably whether this node takes new transfers.
	Drain(ctx context.Context, on bool) error
	// Load tells what this node has to do.
	Load() Load
	// Failing returns the file systems of this node that failed lately, by directory.
	Failing() []FailingFS
	// RDMA describes the RDMA devices of this node, and how it reaches addresses.
	// It asks devices and kernel, which takes a moment.
	RDMA(ctx context.Context, routeTo []netip.Addr) ([]RDMADevice, []Route)
}

// Forwarder reaches the API of other nodes.
type Forwarder interface {
	// Conn returns a connection to a node, shared and owned by the Forwarder. It
	// need not be up. Errors are *transfer.Error: NODE_UNKNOWN,
	// OWNER_UNREACHABLE. It takes and gives messages of MaxMessage bytes.
	Conn(ctx context.Context, node transfer.NodeID) (grpc.ClientConnInterface, error)
}
