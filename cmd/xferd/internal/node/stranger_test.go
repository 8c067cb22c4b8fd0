package node

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/test/needs"
)

// dialAs connects to a unix socket as another user. Credentials are of a thread: this
// one is not used any more after it.
func dialAs(uid int, path string) (net.Conn, error) {
	type result struct {
		c   net.Conn
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
			done <- result{nil, errno}
			return
		}
		c, err := net.Dial("unix", path)
		done <- result{c, err}
	}()
	r := <-done
	return r.c, r.err
}

// Who may connect to the socket may not attach yet: without rules that is for root and
// the user of the daemon.
func TestStrangersMayNotAttach(t *testing.T) {
	needs.Root(t)
	a := newAlone(t)
	a.create("x", false)
	// Let them in as far as the socket.
	for dir := filepath.Dir(a.cfg.Listen.Socket); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(a.cfg.Listen.Socket, 0o666); err != nil {
		t.Fatal(err)
	}
	c, err := dialAs(65534, a.cfg.Listen.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write([]byte("XFERREG1 attach x r\n")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 1000)
	n, _ := c.Read(answer)
	if got := string(answer[:n]); !strings.HasPrefix(got, "error PERMISSION_DENIED ") {
		t.Errorf("the answer is %q", got)
	}
	if info, err := a.client.GetRegion(t.Context(), "nodes/n1/regions/x"); err != nil || info.GetAttached() != 0 {
		t.Errorf("%v, %v", info, err)
	}
}
