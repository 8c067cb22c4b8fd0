package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/xferd/xferd/internal/trust"
	"github.com/xferd/xferd/test/needs"
	"github.com/xferd/xferd/transfer"
)

const stranger = 65533

func known(uid uint32) trust.AuthInfo {
	return trust.AuthInfo{Caller: trust.Caller{UID: uid, Known: true, Via: "tcp"}}
}

func TestCheckServer(t *testing.T) {
	loopback4 := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9), Port: 1}
	loopback6 := &net.TCPAddr{IP: net.IPv6loopback, Port: 1}
	far := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}
	own := uint32(os.Geteuid())
	tests := []struct {
		name string
		info credentials.AuthInfo
		at   net.Addr
		ok   bool
	}{
		{"own user", known(own), loopback4, true},
		{"root", known(0), loopback6, true},
		{"another user", known(stranger), loopback4, false},
		{"another user at an address of this host", known(stranger), far, false},
		{"nobody known on loopback", trust.AuthInfo{}, loopback4, false},
		{"nobody known on loopback, IPv6", trust.AuthInfo{}, loopback6, false},
		{"nobody known on loopback, mapped", trust.AuthInfo{}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1).To16(), Port: 1}, false},
		{"another host", trust.AuthInfo{}, far, true},
		{"other credentials", credentials.TLSInfo{}, loopback4, true},
		{"none", nil, loopback4, true},
	}
	for _, c := range tests {
		if err := checkServer(c.info, c.at); (err == nil) != c.ok || err != nil && !errors.Is(err, trust.ErrDenied) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// claims are credentials that tell of the server what the test wants.
type claims struct {
	credentials.TransportCredentials
	info func() credentials.AuthInfo
}

func (c claims) Clone() credentials.TransportCredentials { return c }

func (c claims) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return conn, c.info(), nil
}

func TestServerOfAnotherUser(t *testing.T) {
	n := startNode(t, "n2", "c", "", echo(make(chan transfer.ToTarget, 10)))
	uid := uint32(stranger)
	creds := claims{insecure.NewCredentials(), func() credentials.AuthInfo { return known(uid) }}
	d := dialerTo(t, at(n.addr), creds)
	for range 2 {
		_, err := d.OpenTarget(t.Context(), "n2")
		wantReason(t, err, transfer.PeerUnreachable)
		if !transfer.ReasonOf(err).Transient() {
			t.Error("a transfer would not wait for the node")
		}
		if !errors.Is(err, trust.ErrDenied) || !strings.Contains(err.Error(), "uid:65533") || !strings.Contains(err.Error(), "it is not the node") {
			t.Errorf("error %v", err)
		}
		if _, err := d.Conn(t.Context(), "n2"); transfer.ReasonOf(err) != transfer.OwnerUnreachable {
			t.Errorf("Conn: %v", err)
		}
	}
	if n.hellos.Load() != 0 {
		t.Errorf("it was asked %d times", n.hellos.Load())
	}
	// The right one is back.
	uid = uint32(os.Geteuid())
	ping(t, openEdge(t, t.Context(), d))
}

// A process of another user takes the address of a node of which it knows the
// name: the owner must not even say Hello.
func TestStrangerPosesAsNode(t *testing.T) {
	needs.Root(t) // servers of other users
	// A stranger that serves, and one that hides: it answers before it is asked
	// and closes its side, so that the kernel does not know the socket's owner.
	for _, how := range []string{"serve", "hide"} {
		t.Run(how, func(t *testing.T) {
			_, err := dialerTo(t, at(startStranger(t, how))).OpenTarget(t.Context(), "n2")
			wantReason(t, err, transfer.PeerUnreachable)
		})
	}
}

const strangerEnv = "XFER_TEST_STRANGER"

func startStranger(t *testing.T, how string) (addr string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{strangerEnv + "=" + how}
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	addr, err = bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(addr)
}

// beStranger runs in the process of the other user until its input ends.
func beStranger() {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	if os.Getenv(strangerEnv) == "serve" {
		g := grpc.NewServer()
		(&Server{Self: identity("n2", "c"), Target: echo(make(chan transfer.ToTarget, 10))}).Register(g)
		go func() { _ = g.Serve(lis) }()
	} else {
		go func() {
			for {
				c, err := lis.Accept()
				if err != nil {
					return
				}
				_, _ = c.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0}) // empty SETTINGS
				_ = c.(*net.TCPConn).CloseWrite()
			}
		}()
	}
	fmt.Println(lis.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func TestAwaitServer(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	dial := func() (client, srv net.Conn) {
		client, err := net.Dial("tcp", lis.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if srv, err = lis.Accept(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = client.Close(), srv.Close() })
		return client, srv
	}
	t.Run("leaves the byte", func(t *testing.T) {
		client, srv := dial()
		done := make(chan error, 1)
		go func() { done <- awaitServer(t.Context(), client) }()
		if _, err := srv.Write([]byte("ab")); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 2)
		if _, err := io.ReadFull(client, b); err != nil || string(b) != "ab" {
			t.Errorf("read %q, %v", b, err)
		}
	})
	t.Run("ends with the context", func(t *testing.T) {
		client, _ := dial()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- awaitServer(ctx, client) }()
		cancel()
		if err := <-done; err != context.Canceled {
			t.Errorf("error %v", err)
		}
	})
	t.Run("closed", func(t *testing.T) {
		client, srv := dial()
		_ = srv.Close()
		if err := awaitServer(t.Context(), client); err == nil {
			t.Error("no error")
		}
	})
	t.Run("no socket", func(t *testing.T) {
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		if err := awaitServer(t.Context(), a); err != nil {
			t.Error(err)
		}
	})
}
