package nemesis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// node is one xferd, over several lives.
type node struct {
	*host
	name string
	home string   // holds all that is the node's
	join []string // gossip addresses
	more []string // flags

	process sync.Mutex // held while the nemesis does something to it

	mu    sync.Mutex
	life  *life
	conn  *grpc.ClientConn // over all lives: the socket's name stays
	old   bytes.Buffer     // log of the lives before
	lives int
}

// life is one process of a node.
type life struct {
	cmd  *exec.Cmd
	up   chan struct{} // closed when it serves
	done chan struct{} // closed when it ended

	mu  sync.Mutex
	log bytes.Buffer
}

// Write takes the log.
func (p *life) Write(b []byte) (int, error) {
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

func (p *life) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

func (n *node) data() string   { return filepath.Join(n.home, "data") }
func (n *node) state() string  { return filepath.Join(n.home, "state") }
func (n *node) socket() string { return filepath.Join(n.home, "s") }

// start begins a life, and waits until it serves.
func (n *node) start() error {
	p := &life{up: make(chan struct{}), done: make(chan struct{})}
	line := inside(n.ns, program, "--name", n.name, "--state-dir", n.state(), "--export", n.data()+":rw", "--insecure",
		"--advertise", n.address, "--listen-control", n.address+":7440", "--listen-data", n.address+":7441",
		"--listen-gossip", n.address+":7442", "--listen-http", "127.0.0.1:7443", "--listen-socket", n.socket(),
		"--listen-socket-group", "", "--buffer-memory", "64MiB", "--log-level", "info", "--log-format", "text")
	for _, j := range n.join {
		line = append(line, "--join", j+":7442")
	}
	p.cmd = exec.Command(line[0], append(line[1:], n.more...)...)
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + n.home, "TMPDIR=" + n.home}
	p.cmd.Stderr = p
	// In a group of its own, an interrupt of the terminal is for the test alone.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() { // ends with the process
		_ = p.cmd.Wait()
		close(p.done)
	}()
	n.mu.Lock()
	n.life = p
	n.lives++
	n.mu.Unlock()
	select {
	case <-p.up:
		return nil
	case <-p.done:
		return fmt.Errorf("%s ended at its start with %v:\n%s", n.name, p.cmd.ProcessState, tail(p.text()))
	case <-time.After(patience):
		return fmt.Errorf("%s does not come up:\n%s", n.name, tail(p.text()))
	}
}

func (n *node) now() *life {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.life
}

// signal sends one to the process that lives.
func (n *node) signal(s syscall.Signal) error { return n.now().cmd.Process.Signal(s) }

// kill ends a life, and waits for its end.
func (n *node) kill() {
	p := n.now()
	if p == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.life == p {
		n.old.WriteString(p.text())
		n.old.WriteString("--- killed\n")
		n.life = nil
	}
}

// stop ends a life in good order.
func (n *node) stop() error {
	return errors.Join(n.signal(syscall.SIGTERM), n.stopped())
}

// stopped waits for the end of a node that was told to stop.
func (n *node) stopped() error {
	p := n.now()
	select {
	case <-p.done:
	case <-time.After(patience):
		return fmt.Errorf("%s does not stop:\n%s", n.name, tail(p.text()))
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%s ended with %v:\n%s", n.name, p.cmd.ProcessState, tail(p.text()))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.old.WriteString(p.text())
	n.old.WriteString("--- stopped\n")
	n.life = nil
	return nil
}

// dial returns the connection to the node's socket, which is made anew when it starts
// again. The rig closes it.
func (n *node) dial() (*grpc.ClientConn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conn != nil {
		return n.conn, nil
	}
	var err error
	n.conn, err = grpc.NewClient("unix://"+n.socket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	return n.conn, err
}

// api is over the unix socket, which no fault of the network reaches.
func (n *node) api() xferv1.TransferServiceClient {
	c, err := n.dial()
	if err != nil {
		panic(err) // the name cannot be wrong
	}
	return xferv1.NewTransferServiceClient(c)
}

func (n *node) nodes() xferv1.NodeServiceClient {
	c, err := n.dial()
	if err != nil {
		panic(err)
	}
	return xferv1.NewNodeServiceClient(c)
}

func (n *node) logs() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.life == nil {
		return n.old.String()
	}
	return n.old.String() + n.life.text()
}

// health looks for what must never be in a log.
func (n *node) health() error {
	log := n.logs()
	for _, bad := range []string{"panic:", "fatal error:", "goroutine ", "DATA RACE"} {
		if at := strings.Index(log, bad); at >= 0 {
			return fmt.Errorf("the log of %s has %q:\n%s", n.name, bad, log[at:min(len(log), at+4000)])
		}
	}
	return nil
}

func tail(s string) string { return s[max(0, len(s)-6000):] }

// uses is what a node holds.
type uses struct{ descriptors, goroutines int }

func (u uses) String() string {
	return fmt.Sprintf("%d descriptors and %d goroutines", u.descriptors, u.goroutines)
}

var goroutines = regexp.MustCompile(`(?m)^go_goroutines (\d+)`)

func (n *node) uses() (u uses, err error) {
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.now().cmd.Process.Pid))
	if err != nil {
		return u, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DialContext: n.dialInside, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:7443/metrics", nil)
	if err != nil {
		return u, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return u, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	m := goroutines.FindSubmatch(text)
	if err != nil || m == nil {
		return u, errors.Join(err, errors.New("the metrics do not count goroutines"))
	}
	u.descriptors = len(fds)
	u.goroutines, err = strconv.Atoi(string(m[1]))
	return u, err
}

// dialInside dials from within the namespace of the node.
func (h *host) dialInside(ctx context.Context, network, address string) (c net.Conn, err error) {
	done := make(chan struct{})
	go func() { // waited for below
		defer close(done)
		runtime.LockOSThread()
		back, failed := within(h.ns, func() {
			// An address and one family: it is dialled by this goroutine itself.
			c, err = (&net.Dialer{FallbackDelay: -1}).DialContext(ctx, network, address)
		})
		if err = errors.Join(err, failed); back {
			// A thread that ends takes the processes with it that it started.
			runtime.UnlockOSThread()
		}
	}()
	<-done
	return c, err
}

// within does something with this thread in a namespace. back says that it is again
// where it was.
func within(ns string, do func()) (back bool, err error) {
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return true, err
	}
	defer here.Close()
	there, err := os.Open("/run/netns/" + ns)
	if err != nil {
		return true, err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return true, err
	}
	do()
	return unix.Setns(int(here.Fd()), unix.CLONE_NEWNET) == nil, nil
}
