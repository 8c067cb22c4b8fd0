package trust

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/xferd/xferd/test/needs"
)

// dialEnv turns the test binary into a client: "network address".
const dialEnv = "XFER_TEST_DIAL"

func TestMain(m *testing.M) {
	if to := os.Getenv(dialEnv); to != "" {
		network, addr, _ := strings.Cut(to, " ")
		conn, err := net.Dial(network, addr)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		_, _ = io.Copy(io.Discard, os.Stdin) // stay connected until told
		_ = conn.Close()
		return
	}
	goleak.VerifyTestMain(m)
}

// dialAs connects from a process of another user and accepts that connection.
func dialAs(t *testing.T, uid uint32, ln net.Listener) net.Conn {
	t.Helper()
	needs.Root(t) // callers of other users
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{dialEnv + "=" + ln.Addr().Network() + " " + ln.Addr().String()}
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	stdin, err := cmd.StdinPipe()
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
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
