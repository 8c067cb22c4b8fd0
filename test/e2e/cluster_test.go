package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// node is what tests know of one node.
type node struct {
	name   string
	data   string // its export
	socket string
}

func (n *node) server() string { return "unix://" + n.socket }

// devCluster is one process with several nodes.
type devCluster struct {
	*process
	nodes []*node
}

// startDev runs `xferd dev` in dir, and waits until it is ready.
func startDev(n int, dir string) (*devCluster, error) {
	p, err := start("xferd dev", environ(), program("xferd"), "dev", "--nodes", fmt.Sprint(n), "--dir", dir)
	if err != nil {
		return nil, err
	}
	c := &devCluster{process: p}
	ready := poll(func() bool { return p.ended() || strings.Contains(p.stdout.String(), "\nready") })
	if !ready || p.ended() {
		p.kill()
		return nil, fmt.Errorf("xferd dev is not ready:\n%s%s", p.stdout.String(), p.stderr.String())
	}
	for _, l := range strings.Split(p.stdout.String(), "\n") {
		if f := strings.Fields(l); len(f) == 8 && f[0] == "node" {
			c.nodes = append(c.nodes, &node{name: f[1], data: f[5], socket: f[7]})
		}
	}
	if len(c.nodes) != n {
		p.kill()
		return nil, fmt.Errorf("%d nodes are announced, want %d:\n%s", len(c.nodes), n, p.stdout.String())
	}
	return c, nil
}

// sharedCluster is the one dev cluster that all tests use that do not stop
// nodes. Each has a directory of its own in every export.
type sharedCluster struct {
	once    sync.Once
	mu      sync.Mutex
	cluster *devCluster
	err     error
	next    int
}

var shared sharedCluster

func (s *sharedCluster) start() (*devCluster, error) {
	s.once.Do(func() { s.cluster, s.err = startDev(3, filepath.Join(scratch, "shared")) })
	return s.cluster, s.err
}

// dirs makes a fresh directory in the export of each node.
func (s *sharedCluster) dirs(name string) (*devCluster, []string, error) {
	c, err := s.start()
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	s.next++
	name = fmt.Sprintf("%s.%d", name, s.next)
	s.mu.Unlock()
	var dirs []string
	for _, n := range c.nodes {
		dir := filepath.Join(n.data, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, nil, err
		}
		dirs = append(dirs, dir)
	}
	return c, dirs, nil
}

func (s *sharedCluster) close() error {
	if s.cluster == nil {
		return nil
	}
	return s.cluster.stop()
}

// useShared gives a test the shared cluster and its directories at n1, n2, n3.
func useShared(t testing.TB) (*ctl, []string) {
	t.Helper()
	c, dirs, err := shared.dirs("go")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, d := range dirs {
			os.RemoveAll(d)
		}
		if t.Failed() {
			c.show(t)
		}
	})
	return &ctl{server: c.nodes[0].server()}, dirs
}

// daemon is one xferd that can be stopped, killed and started again.
type daemon struct {
	node
	args []string
	*process
}

// farm is a cluster of single daemons.
type farm struct {
	dir     string
	uid     int      // whom the daemons run as, where that is not this user
	wrap    []string // a command that runs the daemons
	daemons []*daemon
	gossip  string
}

// start starts n daemons n1, n2, ... that know each other, each with the
// export DIR/nK/data and with the flags more.
func (f *farm) start(n int, more ...string) error {
	for i := range n {
		if err := f.add(fmt.Sprintf("n%d", i+1), more...); err != nil {
			return err
		}
	}
	return f.joined()
}

// add starts one more daemon. A flag of more beats the usual one.
func (f *farm) add(name string, more ...string) error {
	home := filepath.Join(f.dir, name)
	d := &daemon{node: node{name: name, data: filepath.Join(home, "data"), socket: filepath.Join(home, "s")}}
	if err := os.MkdirAll(d.data, 0o755); err != nil {
		return err
	}
	address := newAddress()
	gossip := address + ":7442"
	d.args = []string{
		"--name", name, "--state-dir", filepath.Join(home, "state"), "--export", d.data + ":rw",
		"--advertise", address, "--listen-control", address + ":0", "--listen-data", address + ":0", "--listen-http", "",
		"--listen-gossip", gossip, "--listen-socket", d.socket, "--listen-socket-group", "",
		"--log-level", "info", "--log-format", "text",
	}
	if f.gossip != "" {
		d.args = append(d.args, "--join", f.gossip)
	} else {
		f.gossip = gossip
	}
	d.args = append(d.args, more...)
	f.daemons = append(f.daemons, d)
	if f.uid != 0 {
		if err := errors.Join(os.Chown(home, f.uid, f.uid), os.Chown(d.data, f.uid, f.uid)); err != nil {
			return err
		}
	}
	return f.up(d)
}

// up starts a daemon and waits until it answers.
func (f *farm) up(d *daemon) error {
	line := slices.Concat(f.wrap, []string{program("xferd")}, d.args)
	p, err := startAs(f.uid, "xferd "+d.name, environ(), line[0], line[1:]...)
	if err != nil {
		return err
	}
	d.process = p
	if !poll(func() bool { return p.ended() || strings.Contains(p.stderr.String(), "node is up") }) || p.ended() {
		p.kill()
		return fmt.Errorf("xferd %s is not up:\n%s", d.name, p.stderr.String())
	}
	return nil
}

// addresses counts the loopback addresses that were given out.
var addresses atomic.Uint32

// newAddress is fit for a daemon that is to be found again after a restart. A
// port of 127.0.0.1 that is free now may be taken a moment later; here every
// daemon has an address of its own, apart from those of other test runs.
func newAddress() string {
	pid, n := os.Getpid(), addresses.Add(1)
	return fmt.Sprintf("127.%d.%d.%d", 64+pid%128, (pid>>7)%256, 1+n%254)
}

// joined waits until every daemon sees every other alive.
func (f *farm) joined() error {
	for _, d := range f.daemons {
		c, err := client.Dial(d.server(), client.Options{})
		if err != nil {
			return err
		}
		ok := poll(func() bool {
			nodes, err := c.ListNodes(context.Background())
			alive := 0
			for _, n := range nodes {
				if n.GetState() == xferv1.NodeState_NODE_STATE_ALIVE {
					alive++
				}
			}
			return err == nil && alive == len(f.daemons)
		})
		if c.Close(); !ok {
			return fmt.Errorf("%s does not see the others", d.name)
		}
	}
	return nil
}

func (f *farm) daemon(name string) (*daemon, error) {
	for _, d := range f.daemons {
		if d.name == name {
			return d, nil
		}
	}
	return nil, fmt.Errorf("there is no daemon %s", name)
}

// stop ends all that still run.
func (f *farm) stop() error {
	var err error
	for _, d := range f.daemons {
		if d.process != nil {
			d.stopping = d.signal(syscall.SIGTERM) == nil // all at once
		}
	}
	for _, d := range f.daemons {
		if d.process != nil {
			err = errors.Join(err, d.stop())
		}
	}
	return err
}

// useFarm gives a test a cluster of its own.
func useFarm(t testing.TB, n int, more ...string) (*ctl, *farm) {
	t.Helper()
	return useFarmAt(t, newDir(t), n, more...)
}

// useFarmAt is useFarm in a directory of the caller's.
func useFarmAt(t testing.TB, dir string, n int, more ...string) (*ctl, *farm) {
	t.Helper()
	f := &farm{dir: dir}
	t.Cleanup(func() {
		if err := f.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			for _, d := range f.daemons {
				if d.process != nil {
					d.show(t)
				}
			}
		}
	})
	if err := f.start(n, more...); err != nil {
		t.Fatal(err)
	}
	return &ctl{server: f.daemons[0].server()}, f
}
