package trust

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/credentials"
)

// AuthInfo is what a connection over Local proved.
type AuthInfo struct {
	credentials.CommonAuthInfo
	Caller Caller
	GID    uint32 // of the process that connected; only on unix sockets
}

// AuthType is part of credentials.AuthInfo.
func (AuthInfo) AuthType() string { return "local" }

// Local returns credentials without encryption that find out who the other end
// is: on a unix socket by SO_PEERCRED, on TCP by the owner of the other end's
// socket in this host's tables. A TCP caller from elsewhere is not Known. One
// server can serve both kinds of listeners with it.
//
// A proxy on this host that forwards calls is the caller itself; do not put one
// in front of a listener without TLS.
func Local() credentials.TransportCredentials { return local{find: findSocketOwner} }

type local struct {
	find func(client, server netip.AddrPort) (uid uint32, err error)
}

// ServerHandshake sends nothing and reads nothing.
func (l local) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	info, err := l.identify(conn)
	if err != nil {
		return nil, nil, err
	}
	return conn, info, nil
}

// ClientHandshake tells who the server is in the same way. It refuses nothing.
func (l local) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return l.ServerHandshake(conn)
}

func (local) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "local"}
}

func (l local) Clone() credentials.TransportCredentials { return l }

func (local) OverrideServerName(string) error { return nil }

func (l local) identify(conn net.Conn) (AuthInfo, error) {
	switch a := conn.RemoteAddr().(type) {
	case *net.UnixAddr:
		return peerCred(conn)
	case *net.TCPAddr:
		info := AuthInfo{Caller: Caller{Via: "tcp"}}
		info.SecurityLevel = credentials.NoSecurity
		here, ok := conn.LocalAddr().(*net.TCPAddr)
		if !ok {
			return AuthInfo{}, fmt.Errorf("connection from %s has no TCP address on our side", a)
		}
		// The other end is a socket of this host exactly if the tables have it.
		uid, err := l.find(plain(a), plain(here))
		switch {
		case err == nil:
			info.Caller.UID, info.Caller.Known, info.Caller.Name = uid, true, names.of(uid)
		case !errors.Is(err, errNoSocket):
			return AuthInfo{}, fmt.Errorf("owner of the connection from %s: %w", a, err)
		}
		return info, nil
	}
	return AuthInfo{}, fmt.Errorf("connection from %v: neither a unix socket nor TCP", conn.RemoteAddr())
}

func plain(a *net.TCPAddr) netip.AddrPort {
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// peerCred asks the kernel who connected. The answer is of the moment of
// connect(2): a descriptor that is handed on keeps it.
func peerCred(conn net.Conn) (AuthInfo, error) {
	sc, err := syscallConn(conn)
	if err != nil {
		return AuthInfo{}, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := sc.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return AuthInfo{}, fmt.Errorf("peer credentials: %w", err)
	}
	if credErr != nil {
		return AuthInfo{}, fmt.Errorf("peer credentials: %w", credErr)
	}
	if cred.Uid == ^uint32(0) { // a socket that was never connected
		return AuthInfo{}, errors.New("peer credentials: the kernel names none")
	}
	info := AuthInfo{
		Caller: Caller{UID: cred.Uid, Known: true, Name: names.of(cred.Uid), Via: "unix", PID: cred.Pid},
		GID:    cred.Gid,
	}
	info.SecurityLevel = credentials.PrivacyAndIntegrity
	return info, nil
}

// syscallConn looks through wrappers that say what they wrap.
func syscallConn(conn net.Conn) (syscall.RawConn, error) {
	for {
		switch c := conn.(type) {
		case syscall.Conn:
			return c.SyscallConn()
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil, fmt.Errorf("peer credentials: %T hides the socket", conn)
		}
	}
}
