package peer

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/credentials"

	"github.com/xferd/xferd/internal/trust"
)

// connection is what is known of one connection to a node. It travels as the
// AuthInfo of the calls over it.
type connection struct {
	info   credentials.AuthInfo
	proved atomic.Bool // the right node answered Hello on it
}

// AuthType is part of credentials.AuthInfo.
func (c *connection) AuthType() string {
	if c.info == nil {
		return ""
	}
	return c.info.AuthType()
}

// vouching are credentials that refuse a server which is a process of a user
// that could not call us either. Without it another user of this machine could
// listen at the address of a node that is down, and be sent its data.
type vouching struct {
	credentials.TransportCredentials
	conn *nodeConn
}

// Clone is part of credentials.TransportCredentials.
func (v vouching) Clone() credentials.TransportCredentials {
	return vouching{v.TransportCredentials.Clone(), v.conn}
}

// ClientHandshake is part of credentials.TransportCredentials.
func (v vouching) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := v.handshake(ctx, authority, raw)
	if err != nil {
		v.conn.attemptFailed(err)
		return nil, nil, err
	}
	c := &connection{info: info}
	v.conn.latest.Store(c)
	return conn, c, nil
}

func (v vouching) handshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if v.Info().SecurityProtocol == "local" {
		if err := awaitServer(ctx, raw); err != nil {
			return nil, nil, err
		}
	}
	conn, info, err := v.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, err
	}
	return conn, info, checkServer(info, raw.RemoteAddr())
}

// checkServer applies the rule for callers to a server. On loopback the kernel
// knows the other end, unless that hides by closing it.
func checkServer(info credentials.AuthInfo, at net.Addr) error {
	local, ok := info.(trust.AuthInfo)
	if !ok || !local.Caller.Known && !isLoopback(at) {
		return nil
	}
	if err := trust.Allowed(local.Caller); err != nil {
		return fmt.Errorf("the process that listens there is not trusted: %w", err)
	}
	return nil
}

func isLoopback(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && t.AddrPort() != netip.AddrPort{} && t.AddrPort().Addr().Unmap().IsLoopback()
}

// awaitServer waits for the first byte of the server, and leaves it where it is.
// An HTTP/2 server sends its settings unasked. Before it accepted the
// connection, the kernel does not know whose the other end is.
func awaitServer(ctx context.Context, conn net.Conn) error {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return fmt.Errorf("wait for the server: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	var n int
	var peekErr error
	b := make([]byte, 1)
	err = rc.Read(func(fd uintptr) bool {
		for {
			n, _, peekErr = unix.Recvfrom(int(fd), b, unix.MSG_PEEK|unix.MSG_DONTWAIT)
			if peekErr != unix.EINTR {
				return peekErr != unix.EAGAIN
			}
		}
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("wait for the server: %w", err)
	case peekErr != nil:
		return fmt.Errorf("wait for the server: %w", peekErr)
	case n == 0:
		return fmt.Errorf("the server closed the connection")
	}
	return nil
}
