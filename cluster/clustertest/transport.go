package clustertest

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// Transport is one host on a Network.
type Transport struct {
	net     *Network
	addr    netip.AddrPort
	packets chan *memberlist.Packet
	streams chan net.Conn
	dead    atomic.Bool

	closeOnce, hangUpOnce sync.Once
	closed, hungUp        chan struct{}

	mu    sync.Mutex
	conns map[*stream]struct{} // this host's ends
}

var _ memberlist.NodeAwareTransport = (*Transport)(nil)

// Addr returns the host's address.
func (t *Transport) Addr() netip.AddrPort { return t.addr }

// FinalAdvertiseAddr is part of memberlist.Transport.
func (t *Transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.addr.Addr().AsSlice(), int(t.addr.Port()), nil
}

// WriteTo is part of memberlist.Transport. It never blocks.
func (t *Transport) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return time.Time{}, err
	}
	select {
	case <-t.closed:
		return time.Time{}, net.ErrClosed
	default:
	}
	t.net.send(t, b, to)
	return time.Now(), nil
}

// WriteToAddress is part of memberlist.NodeAwareTransport.
func (t *Transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return t.WriteTo(b, a.Addr)
}

// PacketCh is part of memberlist.Transport.
func (t *Transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh is part of memberlist.Transport.
func (t *Transport) StreamCh() <-chan net.Conn { return t.streams }

// DialTimeout is part of memberlist.Transport. A blocked host is silent, one
// that does not exist refuses.
func (t *Transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	peer, blocked, rtt := t.net.reach(t, to)
	if blocked {
		rtt = timeout
	}
	timer := time.NewTimer(rtt)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.hungUp:
		return nil, opError(net.ErrClosed)
	}
	if blocked {
		return nil, opError(errTimeout)
	}
	if peer == nil {
		return nil, opError(errRefused)
	}
	a, b := net.Pipe()
	mine, theirs := &stream{Conn: a, t: t, peer: to}, &stream{Conn: b, t: peer, peer: t.addr}
	if !t.track(mine) || !peer.track(theirs) {
		_, _ = mine.Close(), theirs.Close()
		return nil, opError(errRefused)
	}
	select {
	case peer.streams <- theirs:
		return mine, nil
	default: // the accept queue is full
		_, _ = mine.Close(), theirs.Close()
		return nil, opError(errRefused)
	}
}

// DialAddressTimeout is part of memberlist.NodeAwareTransport.
func (t *Transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.DialTimeout(a.Addr, timeout)
}

func opError(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }

// HangUp ends dials under way and the host's streams.
func (t *Transport) HangUp() {
	t.hangUpOnce.Do(func() { close(t.hungUp) })
	t.closeStreams()
}

// Shutdown is part of memberlist.Transport. The address is free afterwards.
func (t *Transport) Shutdown() error {
	t.closeOnce.Do(func() {
		t.net.mu.Lock()
		if t.net.hosts[t.addr] == t {
			delete(t.net.hosts, t.addr)
		}
		t.net.mu.Unlock()
		close(t.closed)
		t.HangUp()
	})
	return nil
}

// stream is one end of a connection.
type stream struct {
	net.Conn
	t    *Transport
	peer netip.AddrPort
}

func (s *stream) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.peer) }

func (s *stream) Close() error {
	s.t.mu.Lock()
	delete(s.t.conns, s)
	s.t.mu.Unlock()
	return s.Conn.Close()
}

func (t *Transport) track(s *stream) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.closed:
		return false
	default:
	}
	t.conns[s] = struct{}{}
	return true
}

func (t *Transport) closeStreams() {
	t.mu.Lock()
	list := make([]*stream, 0, len(t.conns))
	for s := range t.conns {
		list = append(list, s)
	}
	t.mu.Unlock()
	for _, s := range list {
		_ = s.Close()
	}
}
