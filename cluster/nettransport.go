package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// netTransport carries gossip over UDP and TCP on one port. Unlike memberlist's
// own one it binds before it starts goroutines, advertises nothing by guess,
// and can hang up: a shutdown waits neither for dials nor for slow streams.
type netTransport struct {
	tcp       *net.TCPListener
	udp       *net.UDPConn
	advertise netip.AddrPort
	log       *slog.Logger
	packets   chan *memberlist.Packet
	streams   chan net.Conn

	dialCtx    context.Context // ends at HangUp
	hangUp     context.CancelFunc
	closed     chan struct{}
	closeOnce  sync.Once
	readers    sync.WaitGroup
	mu         sync.Mutex
	conns      map[*streamConn]struct{} // all open streams
	noOutgoing bool                     // after HangUp
	noIncoming bool                     // after Shutdown
}

var _ memberlist.NodeAwareTransport = (*netTransport)(nil)

// bindTries bounds the search for a port that is free for both protocols.
const bindTries = 20

// udpReadBuffer holds the bursts of a large cluster; the kernel may give less.
const udpReadBuffer = 2 << 20

// listenGossip binds bind ("host:port", port 0 for any) and advertises ip, or
// the bound address where ip is not valid.
func listenGossip(bind string, ip netip.Addr, log *slog.Logger) (*netTransport, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	ctx := context.Background()
	var err error
	for range bindTries {
		var l net.Listener
		if l, err = lc.Listen(ctx, "tcp", bind); err != nil {
			return nil, fmt.Errorf("gossip: %w", err)
		}
		tcp := l.(*net.TCPListener)
		at := tcp.Addr().(*net.TCPAddr).AddrPort()
		var udp *net.UDPConn
		if udp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at)); err != nil {
			_ = tcp.Close()
			continue // with port 0 the next try gets another one
		}
		if !ip.IsValid() {
			ip = at.Addr().Unmap()
		}
		if ip.IsUnspecified() {
			_, _ = tcp.Close(), udp.Close()
			return nil, fmt.Errorf("gossip listens on %s: an address to advertise is needed", at)
		}
		_ = udp.SetReadBuffer(udpReadBuffer)
		t := &netTransport{
			tcp: tcp, udp: udp, advertise: netip.AddrPortFrom(ip.WithZone(""), at.Port()), log: log,
			packets: make(chan *memberlist.Packet, 64), streams: make(chan net.Conn),
			closed: make(chan struct{}), conns: map[*streamConn]struct{}{},
		}
		t.dialCtx, t.hangUp = context.WithCancel(ctx)
		return t, nil
	}
	return nil, fmt.Errorf("gossip: %w", err)
}

// start begins to listen. Shutdown ends and awaits it.
func (t *netTransport) start() {
	t.readers.Go(t.accept)
	t.readers.Go(t.receive)
}

// FinalAdvertiseAddr is part of memberlist.Transport.
func (t *netTransport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.advertise.Addr().AsSlice(), int(t.advertise.Port()), nil
}

// WriteTo is part of memberlist.Transport.
func (t *netTransport) WriteTo(b []byte, addr string) (time.Time, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return time.Time{}, err
	}
	_, err = t.udp.WriteToUDPAddrPort(b, ap)
	return time.Now(), err
}

// WriteToAddress is part of memberlist.NodeAwareTransport.
func (t *netTransport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return t.WriteTo(b, a.Addr)
}

// PacketCh is part of memberlist.Transport.
func (t *netTransport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh is part of memberlist.Transport.
func (t *netTransport) StreamCh() <-chan net.Conn { return t.streams }

// DialTimeout is part of memberlist.Transport.
func (t *netTransport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout}
	conn, err := d.DialContext(t.dialCtx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if c := t.track(conn, false); c != nil {
		return c, nil
	}
	_ = conn.Close()
	return nil, net.ErrClosed
}

// DialAddressTimeout is part of memberlist.NodeAwareTransport.
func (t *netTransport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.DialTimeout(a.Addr, timeout)
}

// HangUp ends all outgoing streams and refuses new ones. Packets still flow, so
// that a goodbye can be sent.
func (t *netTransport) HangUp() {
	t.hangUp()
	t.closeConns(false)
}

// Shutdown is part of memberlist.Transport. It returns when the readers have
// ended and every stream is closed.
func (t *netTransport) Shutdown() error {
	t.closeOnce.Do(func() {
		close(t.closed)
		_, _ = t.tcp.Close(), t.udp.Close()
	})
	t.HangUp()
	t.closeConns(true)
	t.readers.Wait()
	return nil
}

func (t *netTransport) accept() {
	for {
		conn, err := t.tcp.AcceptTCP()
		if err != nil {
			if t.pause(err, "accept") {
				continue
			}
			return
		}
		c := t.track(conn, true)
		if c == nil {
			_ = conn.Close()
			return
		}
		select {
		case t.streams <- c:
		case <-t.closed:
			_ = c.Close()
			return
		}
	}
}

func (t *netTransport) receive() {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := t.udp.ReadFromUDPAddrPort(buf)
		at := time.Now()
		if err != nil {
			if t.pause(err, "receive") {
				continue
			}
			return
		}
		if n == 0 {
			continue
		}
		p := &memberlist.Packet{
			Buf:       append(make([]byte, 0, n), buf[:n]...),
			From:      net.UDPAddrFromAddrPort(netip.AddrPortFrom(from.Addr().Unmap(), from.Port())),
			Timestamp: at,
		}
		select {
		case t.packets <- p:
		case <-t.closed:
			return
		}
	}
}

// pause waits a moment after a socket error, such as too many open files. It
// reports false when the transport is closed.
func (t *netTransport) pause(err error, what string) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	t.log.Warn("gossip socket", "op", what, "err", err)
	select {
	case <-time.After(100 * time.Millisecond):
		return true
	case <-t.closed:
		return false
	}
}

// streamConn leaves the transport's list when it is closed.
type streamConn struct {
	net.Conn
	t        *netTransport
	incoming bool
}

func (c *streamConn) Close() error {
	c.t.mu.Lock()
	delete(c.t.conns, c)
	c.t.mu.Unlock()
	return c.Conn.Close()
}

// track lists conn. It returns nil when streams of that direction are over.
func (t *netTransport) track(conn net.Conn, incoming bool) *streamConn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if incoming && t.noIncoming || !incoming && t.noOutgoing {
		return nil
	}
	c := &streamConn{Conn: conn, t: t, incoming: incoming}
	t.conns[c] = struct{}{}
	return c
}

func (t *netTransport) closeConns(incoming bool) {
	t.mu.Lock()
	var list []*streamConn
	for c := range t.conns {
		if c.incoming == incoming {
			list = append(list, c)
		}
	}
	if incoming {
		t.noIncoming = true
	} else {
		t.noOutgoing = true
	}
	t.mu.Unlock()
	for _, c := range list {
		_ = c.Close()
	}
}
