package cluster

import (
	"fmt"
	"net/netip"
	"time"
)

// State is what is known of a member.
type State uint8

const (
	Alive    State = iota + 1
	Draining       // alive, takes no new transfers
	Failed         // does not answer any more
	Left           // said goodbye
)

func (s State) String() string {
	switch s {
	case Alive:
		return "ALIVE"
	case Draining:
		return "DRAINING"
	case Failed:
		return "FAILED"
	case Left:
		return "LEFT"
	}
	return fmt.Sprintf("STATE(%d)", uint8(s))
}

// Here reports whether the member takes part: alive or draining.
func (s State) Here() bool { return s == Alive || s == Draining }

// Member is one node as it is known now. It is a plain value.
type Member struct {
	ID           string         // stable over restarts
	Instance     string         // changes with every start of the node
	Started      time.Time      // of the instance, by the node's own clock
	Addr         string         // of the control service, host:port
	DataAddr     string         // of the TCP data plane, host:port
	HTTPAddr     string         // of the metrics, host:port; empty where unreachable
	Gossip       netip.AddrPort // of the membership protocol
	Zone, Rack   string
	Capabilities Capability
	State        State
	Version      string
	Since        time.Time // of State
	LastSeen     time.Time // of the last sign of life, direct or by others
	Self         bool
	// Duplicate says that two processes at once claim this id. The newest is
	// the one shown.
	Duplicate bool
}

// EventKind says what happened to a member.
type EventKind uint8

const (
	Joined     EventKind = iota + 1 // new, back again, or a new instance
	Updated                         // still here, told something new
	MemberLeft                      // said goodbye
	MemberFailed
)

func (k EventKind) String() string {
	switch k {
	case Joined:
		return "JOINED"
	case Updated:
		return "UPDATED"
	case MemberLeft:
		return "LEFT"
	case MemberFailed:
		return "FAILED"
	}
	return fmt.Sprintf("EVENT(%d)", uint8(k))
}

// Event is the latest change of one member. Changes of the same member that
// were not fetched in time are one event: the last word counts.
type Event struct {
	Revision uint64 // rises with every change; starts at 1 in every process
	Kind     EventKind
	Member   Member
}

// hostPort joins an advertised address with the IP that gossip knows.
func hostPort(a netip.AddrPort, gossip netip.Addr) string {
	if a.Port() == 0 {
		return ""
	}
	if !a.Addr().IsValid() || a.Addr().IsUnspecified() {
		a = netip.AddrPortFrom(gossip, a.Port())
	}
	return a.String()
}
