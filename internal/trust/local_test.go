package trust

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

const stranger = 65533

func TestOtherUsers(t *testing.T) {
	dir, err := os.MkdirTemp("", "trust") // t.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, network := range []string{"unix", "tcp4", "tcp6"} {
		t.Run(network, func(t *testing.T) {
			addr := map[string]string{"unix": filepath.Join(dir, "s"), "tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"}[network]
			ln, err := net.Listen(network, addr)
			if err != nil {
				t.Skipf("SKIP %v", err)
			}
			t.Cleanup(func() { _ = ln.Close() })
			if network == "unix" {
				if err := os.Chmod(addr, 0o777); err != nil {
					t.Fatal(err)
				}
			}
			conn := dialAs(t, stranger, ln)
			_, info, err := Local().ServerHandshake(conn)
			if err != nil {
				t.Fatal(err)
			}
			c := info.(AuthInfo).Caller
			if c.UID != stranger || !c.Known || c.Principal() != "uid:65533" {
				t.Errorf("caller %+v", c)
			}
			if network == "unix" && (c.PID == 0 || info.(AuthInfo).GID != stranger) {
				t.Errorf("caller %+v", info)
			}
			if err := Allowed(c); !errors.Is(err, ErrDenied) {
				t.Errorf("a stranger may call: %v", err)
			}
		})
	}
}

// Both sources of the kernel must agree, and neither may take a listener or a
// closed socket for a caller.
func TestSocketOwners(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // dual stack listeners show mapped addresses
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	from, to := plain(server.RemoteAddr().(*net.TCPAddr)), plain(server.LocalAddr().(*net.TCPAddr))
	finders := map[string]func(_, _ netip.AddrPort) (uint32, error){"sock_diag": askSockDiag, "proc": askProc, "both": findSocketOwner}
	for name, find := range finders {
		if uid, err := find(from, to); err != nil || uid != uint32(os.Geteuid()) {
			t.Errorf("%s: uid %d (%v)", name, uid, err)
		}
		nobody := netip.AddrPortFrom(from.Addr(), 1)
		if _, err := find(nobody, to); !errors.Is(err, errNoSocket) {
			t.Errorf("%s: a port without a client: %v", name, err)
		}
		// The listener's own address as the client's: a lookup falls back to it.
		if _, err := find(to, nobody); !errors.Is(err, errNoSocket) {
			t.Errorf("%s: the listener: %v", name, err)
		}
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	for name, find := range finders {
		if uid, err := find(from, to); !errors.Is(err, errNoSocket) {
			t.Errorf("%s: a closed client: uid %d, %v", name, uid, err)
		}
	}
}

// A v6 socket that reaches a v4 listener through a mapped address.
func TestMappedClient(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Skipf("SKIP no IPv6: %v", err)
	}
	defer func() { _ = unix.Close(fd) }()
	at := ln.Addr().(*net.TCPAddr)
	sa := &unix.SockaddrInet6{Port: at.Port}
	copy(sa.Addr[:], at.IP.To16())
	if err := unix.Connect(fd, sa); err != nil {
		t.Skipf("SKIP no mapped addresses: %v", err)
	}
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	from, to := plain(server.RemoteAddr().(*net.TCPAddr)), plain(server.LocalAddr().(*net.TCPAddr))
	for name, find := range map[string]func(_, _ netip.AddrPort) (uint32, error){"sock_diag": askSockDiag, "proc": askProc} {
		if uid, err := find(from, to); err != nil || uid != uint32(os.Geteuid()) {
			t.Errorf("%s: uid %d (%v)", name, uid, err)
		}
	}
}

func TestCallerOfRPC(t *testing.T) {
	sock, err := ListenUnix(filepath.Join(t.TempDir(), "d", "s"), "")
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan Caller, 1)
	srv := grpc.NewServer(grpc.Creds(Local()), grpc.UnaryInterceptor(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			c, ok := CallerFrom(ctx)
			if !ok {
				t.Error("no caller")
			}
			got <- c
			return h(ctx, req)
		}))
	healthpb.RegisterHealthServer(srv, health.NewServer())
	done := make(chan error, 2)
	go func() { done <- srv.Serve(wrapped{sock}) }()
	go func() { done <- srv.Serve(tcp) }()
	for via, target := range map[string]string{"unix": "unix://" + sock.Addr().String(), "tcp": tcp.Addr().String()} {
		conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(Local()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
			t.Fatal(err)
		}
		c := <-got
		if c.UID != uint32(os.Geteuid()) || !c.Known || c.Via != via {
			t.Errorf("%s: caller %+v", via, c)
		}
		if err := Allowed(c); err != nil {
			t.Error(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	srv.Stop()
	<-done
	<-done
}

// wrapped is a listener whose connections hide the socket, as limits do.
type wrapped struct{ net.Listener }

func (w wrapped) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return wrappedConn{c}, nil
}

type wrappedConn struct{ net.Conn }

func (c wrappedConn) NetConn() net.Conn { return c.Conn }

func TestHandshakeRefusals(t *testing.T) {
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	if _, _, err := Local().ServerHandshake(a); err == nil {
		t.Error("a pipe was taken")
	}
	if _, ok := CallerFrom(t.Context()); ok {
		t.Error("a caller without an RPC")
	}
}

// fakeTCP is a connection from another host.
type fakeTCP struct {
	net.Conn
	from, to string
}

func (f fakeTCP) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(f.from))
}
func (f fakeTCP) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(f.to)) }

func TestRemoteIsUnknown(t *testing.T) {
	_, info, err := Local().ServerHandshake(fakeTCP{from: "198.51.100.7:40000", to: "198.51.100.1:7440"})
	if err != nil {
		t.Fatal(err)
	}
	c := info.(AuthInfo).Caller
	if c.Known || c.Principal() != "unknown" || !errors.Is(Allowed(c), ErrDenied) {
		t.Errorf("caller %+v: %v", c, Allowed(c))
	}
	broken := local{find: func(_, _ netip.AddrPort) (uint32, error) { return 0, errors.New("no tables") }}
	if _, _, err := broken.ServerHandshake(fakeTCP{from: "127.0.0.1:1", to: "127.0.0.1:2"}); err == nil {
		t.Error("a caller that cannot be looked up was let in")
	}
	var _ credentials.TransportCredentials = broken.Clone()
}

func TestAllowed(t *testing.T) {
	for _, tc := range []struct {
		c  Caller
		ok bool
	}{
		{Caller{UID: 0, Known: true}, true},
		{Caller{UID: 990, Known: true}, true},
		{Caller{UID: 1000, Known: true, Name: "ann"}, false},
		{Caller{UID: 0}, false},
		{Caller{}, false},
	} {
		err := allowed(tc.c, 990)
		if (err == nil) != tc.ok || err != nil && !errors.Is(err, ErrDenied) {
			t.Errorf("%+v: %v", tc.c, err)
		}
	}
}
