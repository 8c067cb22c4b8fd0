package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
)

// daemons are two nodes that copy a file in memory.
type daemons struct {
	dir, verify string
	bin         string
	size        int64
	nodes       []*exec.Cmd
	api         *client.Client
}

func newDaemons(ctx context.Context, o options, verify string) (d *daemons, err error) {
	d = &daemons{verify: verify, bin: os.Getenv("XFER_BENCH_BIN"), size: int64(o.mib) << 20}
	if d.dir, err = os.MkdirTemp("/dev/shm", "b."); err != nil {
		return nil, err
	}
	gossip := ""
	for i, name := range []string{"n1", "n2"} {
		data, addr := filepath.Join(d.dir, name+".data"), fmt.Sprintf("127.1.%d.%d", verify[0], i+1)
		if err := os.Mkdir(data, 0o755); err != nil {
			return d, err
		}
		args := []string{"--name", name, "--state-dir", filepath.Join(d.dir, name), "--export", data + ":rw", "--advertise", addr, "--listen-control", addr + ":0",
			"--listen-data", addr + ":0", "--listen-http", "", "--listen-gossip", addr + ":7442", "--listen-socket", filepath.Join(d.dir, name+".s"),
			"--listen-socket-group", "", "--log-level", "warn", "--log-format", "text"}
		if gossip != "" {
			args = append(args, "--join", gossip)
		}
		gossip = addr + ":7442"
		n := exec.CommandContext(ctx, filepath.Join(d.bin, "xferd"), args...)
		n.Stderr = os.Stderr
		if err := n.Start(); err != nil {
			return d, err
		}
		d.nodes = append(d.nodes, n)
	}
	if d.api, err = client.Dial("unix://"+filepath.Join(d.dir, "n1.s"), client.Options{}); err != nil {
		return d, err
	}
	for tries := 0; ; tries++ {
		nodes, err := d.api.ListNodes(ctx)
		if err == nil && len(nodes) == 2 {
			break
		}
		if tries > 300 {
			return d, errors.Join(errors.New("the nodes did not find each other"), err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	b := make([]byte, d.size)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return d, os.WriteFile(d.path("n1", "file"), b, 0o644)
}

func (d *daemons) path(node, name string) string { return filepath.Join(d.dir, node+".data", name) }

func (d *daemons) close() {
	for _, n := range d.nodes {
		_ = n.Process.Signal(syscall.SIGTERM)
	}
	for _, n := range d.nodes {
		_ = n.Wait()
	}
	if d.api != nil {
		_ = d.api.Close()
	}
	_ = os.RemoveAll(d.dir)
}

// move is one copy with defaults, from its start to its end as the node has them.
func (d *daemons) move(ctx context.Context) (run, error) {
	used, err := meter(d.processor)
	if err != nil {
		return run{}, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(d.bin, "xferctl"), "--server", "unix://"+filepath.Join(d.dir, "n1.s"), "cp", "-q", "--detach",
		"--transport=rdma", "--verify="+d.verify, "n1:"+d.path("n1", "file"), "n2:"+d.path("n2", "file"))
	cmd.Stderr = os.Stderr
	name, err := cmd.Output()
	if err != nil {
		return run{}, err
	}
	t, err := d.api.Wait(ctx, strings.TrimSpace(string(name)))
	if err != nil {
		return run{}, err
	}
	if t.GetState() != xferv1.State_STATE_SUCCEEDED || t.GetCounters().GetBytesMoved()["rdma"] != d.size {
		return run{}, fmt.Errorf("the copy: %v", t)
	}
	cpu, err := used()
	if err != nil {
		return run{}, err
	}
	return run{wall: t.GetEndTime().AsTime().Sub(t.GetStartTime().AsTime()), cpu: cpu, bytes: d.size}, os.Remove(d.path("n2", "file"))
}

// processor is the CPU time of both daemons; see proc(5), stat.
func (d *daemons) processor() (sum time.Duration, err error) {
	for _, n := range d.nodes {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.Process.Pid))
		if err != nil {
			return 0, err
		}
		f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		for _, ticks := range f[11:13] {
			t, err := strconv.ParseInt(ticks, 10, 64)
			if err != nil {
				return 0, err
			}
			sum += time.Duration(t) * tick
		}
	}
	return sum, nil
}
