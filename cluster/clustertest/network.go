// Package clustertest is a network in memory for tests of membership: lossless
// or not, with latency, partitions and death. It works inside testing/synctest,
// where real sockets do not. It knows nothing of members.
package clustertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// Network joins transports. The zero value is not usable; see New.
type Network struct {
	mu      sync.Mutex
	rng     *rand.Rand
	hosts   map[netip.AddrPort]*Transport
	aliases map[netip.AddrPort]netip.AddrPort
	blocked map[pair]struct{}
	loss    float64
	latency time.Duration
	next    uint32
}

type pair struct{ from, to netip.Addr }

// New returns an empty network. The seed fixes which packets are lost.
func New(seed uint64) *Network {
	return &Network{
		rng:     rand.New(rand.NewPCG(seed, 1)),
		hosts:   map[netip.AddrPort]*Transport{},
		aliases: map[netip.AddrPort]netip.AddrPort{},
		blocked: map[pair]struct{}{},
	}
}

// Addr returns the next unused address, in 10.0.0.0/8 with port 7442.
func (n *Network) Addr() netip.AddrPort {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.next++
	a := netip.AddrFrom4([4]byte{10, byte(n.next >> 16), byte(n.next >> 8), byte(n.next)})
	return netip.AddrPortFrom(a, 7442)
}

// Listen returns a transport at addr. It is an error while another one is there.
func (n *Network) Listen(addr netip.AddrPort) (*Transport, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hosts[addr] != nil {
		return nil, fmt.Errorf("%s: address in use", addr)
	}
	t := &Transport{
		net: n, addr: addr,
		packets: make(chan *memberlist.Packet, 4096),
		streams: make(chan net.Conn, 64),
		closed:  make(chan struct{}), hungUp: make(chan struct{}),
		conns: map[*stream]struct{}{},
	}
	n.hosts[addr] = t
	return t, nil
}

// SetLoss drops that share of packets, from 0 to 1. Streams are not affected.
func (n *Network) SetLoss(p float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss = p
}

// SetLatency delays every packet, and every dial by a round trip.
func (n *Network) SetLatency(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.latency = d
}

// Block stops everything from one host to another, in this direction only.
func (n *Network) Block(from, to netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.blocked[pair{from, to}] = struct{}{}
}

// Partition stops everything between the two groups.
func (n *Network) Partition(a, b []netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, x := range a {
		for _, y := range b {
			n.blocked[pair{x, y}], n.blocked[pair{y, x}] = struct{}{}, struct{}{}
		}
	}
}

// Heal lifts all blocks.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.blocked)
}

// Alias makes what is sent to the address from arrive at to, as a load balancer
// does.
func (n *Network) Alias(from, to netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.aliases[from] = to
}

// host returns who listens at an address. The caller holds the lock.
func (n *Network) host(at netip.AddrPort) *Transport {
	if to, ok := n.aliases[at]; ok {
		at = to
	}
	return n.hosts[at]
}

// Kill makes the host at addr vanish without a word, as a power cut does.
func (n *Network) Kill(addr netip.AddrPort) {
	n.mu.Lock()
	t := n.hosts[addr]
	delete(n.hosts, addr)
	n.mu.Unlock()
	if t != nil {
		t.dead.Store(true)
		t.closeStreams()
	}
}

// send delivers one packet if the network lets it through, as UDP does: the
// sender never learns.
func (n *Network) send(from *Transport, b []byte, to netip.AddrPort) {
	n.mu.Lock()
	_, blocked := n.blocked[pair{from.addr.Addr(), to.Addr()}]
	lost := blocked || n.loss > 0 && n.rng.Float64() < n.loss || from.dead.Load()
	d := n.latency
	n.mu.Unlock()
	if lost {
		return
	}
	p := &memberlist.Packet{Buf: append([]byte(nil), b...), From: net.UDPAddrFromAddrPort(from.addr)}
	if d == 0 {
		n.deliver(p, to)
		return
	}
	time.AfterFunc(d, func() { n.deliver(p, to) })
}

func (n *Network) deliver(p *memberlist.Packet, to netip.AddrPort) {
	n.mu.Lock()
	t := n.host(to)
	n.mu.Unlock()
	if t == nil {
		return
	}
	p.Timestamp = time.Now()
	select {
	case t.packets <- p:
	default: // the receive buffer is full
	}
}

var (
	errRefused = errors.New("connection refused")
	errTimeout = errors.New("connection timed out")
)

// reach returns the host at to and how long a dial takes.
func (n *Network) reach(from *Transport, to netip.AddrPort) (t *Transport, blocked bool, rtt time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, there := n.blocked[pair{from.addr.Addr(), to.Addr()}]
	_, back := n.blocked[pair{to.Addr(), from.addr.Addr()}]
	return n.host(to), there || back || from.dead.Load(), 2 * n.latency
}
