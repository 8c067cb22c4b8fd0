package faults

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/internal/failpoint"
)

// node is one xferd, over several lives.
type node struct {
	name    string
	home    string // holds all that is the node's
	address string
	seed    string   // the address of the other node
	behind  string   // where it listens, if something stands before its control and data plane
	more    []string // flags
	lives   int      // begun since the last reset

	*process
	mu  sync.Mutex
	api xferv1.TransferServiceClient // of the present life
}

// process is one life of a node.
type process struct {
	cmd    *exec.Cmd
	conn   *grpc.ClientConn
	up     chan struct{} // closed when it serves
	done   chan struct{} // closed when it ended
	byTest bool          // the rig killed it

	mu  sync.Mutex
	log bytes.Buffer
}

// Write takes the log.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log.Write(b)
	if bytes.Contains(b, []byte("node is up")) {
		select {
		case <-p.up:
		default:
			close(p.up)
		}
	}
	return len(b), nil
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

func (n *node) data() string  { return filepath.Join(n.home, "data") }
func (n *node) state() string { return filepath.Join(n.home, "state") }

func (n *node) trace(life int) string { return filepath.Join(n.home, fmt.Sprintf("trace.%d", life)) }

// start begins a life with a plan of failpoints, or, where inject says something,
// as the program is released under strace, which injects that into system calls.
func (n *node) start(plan, inject string) error {
	n.lives++
	socket := filepath.Join(n.home, "s")
	p := &process{up: make(chan struct{}), done: make(chan struct{})}
	line := []string{tagged}
	if inject != "" {
		call, _, _ := strings.Cut(inject, ":")
		// With -D the daemon is the process that is started here, and not strace.
		line = []string{"strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e", "signal=none", "-e", "inject=" + inject, released}
	}
	listen := cmp.Or(n.behind, n.address)
	line = append(line,
		"--name", n.name, "--state-dir", n.state(), "--export", n.data()+":rw",
		"--advertise", n.address, "--listen-control", listen+":7440", "--listen-data", listen+":7441",
		"--listen-gossip", n.address+":7442", "--join", n.seed+":7442", "--listen-http", "", "--listen-socket", socket,
		"--listen-socket-group", "", "--buffer-memory", "64MiB", "--log-level", "info", "--log-format", "text")
	line = append(line, n.more...)
	p.cmd = exec.Command(line[0], line[1:]...)
	p.cmd.WaitDelay = time.Second // strace may hold its end of the log a moment longer
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + n.home, "TMPDIR=" + n.home, failpoint.Plan + "=" + plan, failpoint.Trace + "=" + n.trace(n.lives)}
	p.cmd.Stderr = p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() { // ends with the process
		_ = p.cmd.Wait()
		close(p.done)
	}()
	var err error
	if p.conn, err = grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		return err
	}
	n.mu.Lock()
	n.process, n.api = p, xferv1.NewTransferServiceClient(p.conn)
	n.mu.Unlock()
	return nil
}

// client returns the API of the present life.
func (n *node) client() xferv1.TransferServiceClient {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.api
}

// awaitUp waits until the node serves, or is dead.
func (n *node) awaitUp() error {
	select {
	case <-n.up:
		return nil
	case <-n.done:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("%s does not come up:\n%s", n.name, n.text())
	}
}

func (n *node) dead() bool {
	select {
	case <-n.done:
		return true
	default:
		return false
	}
}

// kill ends a life, and waits for its end.
func (n *node) kill() {
	if n.process == nil {
		return
	}
	n.byTest = true
	_ = n.cmd.Process.Kill()
	<-n.done
	_ = n.conn.Close()
}

// panicked says whether a failpoint ended the node by a panic.
func (n *node) panicked() bool {
	return n.cmd.ProcessState.ExitCode() == 2 && strings.Contains(n.text(), "panic: failpoint ")
}

// judgeDeath tells of an end that no failpoint made.
func (n *node) judgeDeath() error {
	ws, ok := n.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && ws.Signaled() && ws.Signal() == syscall.SIGKILL {
		return nil
	}
	return fmt.Errorf("%s ended by itself with %v:\n%s", n.name, n.cmd.ProcessState, tail(n.text()))
}

// health looks for what must never be in a log.
func (n *node) health() error {
	log := n.text()
	for _, bad := range []string{"panic:", "fatal error:", "goroutine "} {
		if at := strings.Index(log, bad); at >= 0 {
			return fmt.Errorf("the log of %s has %q:\n%s", n.name, bad, log[at:min(len(log), at+4000)])
		}
	}
	return nil
}

func tail(s string) string { return s[max(0, len(s)-6000):] }

// passed returns the points that a life passed, in their order.
func (n *node) passed(life int) ([]string, error) {
	b, err := os.ReadFile(n.trace(life))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return strings.Fields(string(b)), err
}

// reset makes the node one that never lived.
func (n *node) reset() error {
	n.lives = 0
	for _, name := range []string{"state", "trace.1", "trace.2", "trace.3", "trace.4"} {
		if err := os.RemoveAll(filepath.Join(n.home, name)); err != nil {
			return err
		}
	}
	return nil
}
