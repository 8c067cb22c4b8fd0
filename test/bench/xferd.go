package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// cluster is two real daemons on loopback.
type cluster struct {
	bin     string
	socket  string
	daemons []daemon
	stops   []func()
}

func (c *cluster) stop() {
	for _, s := range c.stops {
		s()
	}
}

func (c *cluster) ctl(ctx context.Context, u *usage, args ...string) *exec.Cmd {
	return u.command(ctx, filepath.Join(c.bin, "xferctl"), append([]string{"--server", "unix://" + c.socket}, args...)...)
}

// startCluster runs n1 and n2, both exporting root, with flags of xferd beside
// those that all need.
func startCluster(ctx context.Context, o options, root string, flags ...string) (*cluster, error) {
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return nil, err
	}
	// The state lies beside the data: on the same kind of file system.
	state, err := os.MkdirTemp(filepath.Dir(root), "xferd-bench-state.")
	if err != nil {
		return nil, err
	}
	sockets, err := os.MkdirTemp("", "xferd-bench.")
	if err != nil {
		return nil, err
	}
	c := &cluster{bin: bin, socket: filepath.Join(sockets, "n1.sock")}
	c.stops = append(c.stops, func() { os.RemoveAll(state); os.RemoveAll(sockets) })
	gossip := ""
	for _, name := range []string{"n2", "n1"} {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		args := []string{"--name", name, "--state-dir", filepath.Join(state, name), "--export", root + ":rw",
			"--listen-control", "127.0.0.1:0", "--listen-data", "127.0.0.1:0", "--listen-http", "",
			"--listen-gossip", fmt.Sprintf("127.0.0.1:%d", port), "--listen-socket", filepath.Join(sockets, name+".sock"),
			"--listen-socket-group", "", "--log-level", "warn", "--log-format", "text"}
		args = append(args, flags...)
		if gossip != "" {
			args = append(args, "--join", gossip)
		}
		gossip = fmt.Sprintf("127.0.0.1:%d", port)
		d, stop, err := start(exec.Command(filepath.Join(bin, "xferd"), args...))
		if err != nil {
			c.stop()
			return nil, err
		}
		c.daemons = append(c.daemons, d)
		c.stops = append([]func(){stop}, c.stops...)
	}
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		out, err := c.ctl(ctx, &usage{}, "nodes", "-o", "json").Output()
		if err == nil && bytes.Contains(out, []byte("n2")) {
			return c, nil
		}
	}
	c.stop()
	return nil, errors.New("n1 and n2 did not find each other")
}

func xferdContender(ctx context.Context, o options, root string) (contender, error) {
	c := contender{name: "xferd", copies: "2 (socket to buffer, buffer to file)"}
	cl, err := startCluster(ctx, o, root)
	if err != nil {
		return c, err
	}
	c.daemons, c.stop = cl.daemons, cl.stop
	c.copy = func(ctx context.Context, u *usage, w workload, dst string) error {
		return u.run(cl.ctl(ctx, u, "cp", "-q", "n1:"+w.path, "n2:"+dst+"/"))
	}
	return c, nil
}
