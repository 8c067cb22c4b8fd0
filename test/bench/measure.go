package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is what a run cost: of the processes that it started and waited for,
// and of daemons by the difference of their counters.
type usage struct {
	wall     time.Duration
	cpu      time.Duration // user and system, both ends
	switches int64         // context switches, voluntary and not
	rss      int64         // bytes; of the largest single process

	trace  string // directory; not empty: count system calls instead of timing
	traced int
}

// command is exec.CommandContext, under strace where system calls are counted.
func (u *usage) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	if u.trace != "" {
		u.traced++
		args = append([]string{"-f", "-c", "-q", "-o", filepath.Join(u.trace, "run"+strconv.Itoa(u.traced)), name}, args...)
		name = "strace"
	}
	return exec.CommandContext(ctx, name, args...)
}

// ofProcess adds what a finished child used, its own children included.
func (u *usage) ofProcess(cmd *exec.Cmd) {
	if cmd.ProcessState == nil {
		return
	}
	r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return
	}
	u.cpu += time.Duration(r.Utime.Nano() + r.Stime.Nano())
	u.switches += r.Nvcsw + r.Nivcsw
	u.rss = max(u.rss, r.Maxrss<<10)
}

// daemon is a process that lives through many runs.
type daemon struct{ pid int }

type counters struct {
	cpu      time.Duration
	switches int64
	rss      int64
}

// read returns the counters of the daemon and of the children that it waited
// for. Source: proc(5), stat and status.
func (d daemon) read() (c counters, err error) {
	dir := "/proc/" + strconv.Itoa(d.pid)
	b, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return c, err
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	for _, f := range fields[11:15] { // utime stime cutime cstime, in ticks of 10 ms
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return c, err
		}
		c.cpu += time.Duration(n) * 10 * time.Millisecond
	}
	tasks, err := filepath.Glob(dir + "/task/*/status")
	if err != nil {
		return c, err
	}
	for _, t := range append(tasks, dir+"/status") {
		b, err := os.ReadFile(t)
		if err != nil {
			continue // the thread ended
		}
		for _, line := range strings.Split(string(b), "\n") {
			key, value, _ := strings.Cut(line, ":")
			value = strings.TrimSuffix(strings.TrimSpace(value), " kB")
			n, _ := strconv.ParseInt(value, 10, 64)
			switch {
			case strings.HasSuffix(key, "voluntary_ctxt_switches") && strings.Contains(t, "/task/"):
				c.switches += n
			case key == "VmHWM" && !strings.Contains(t, "/task/"):
				c.rss = n << 10
			}
		}
	}
	return c, nil
}

// awaitChildren waits until the daemon has collected what it forked for a run:
// their CPU time is counted only then. The servers of rsync and ssh end a
// moment after their client.
func (d daemon) awaitChildren() {
	list := fmt.Sprintf("/proc/%d/task/%d/children", d.pid, d.pid)
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if b, err := os.ReadFile(list); err != nil || len(b) == 0 {
			return
		}
	}
}

// measure runs f and returns what it and the daemons cost.
func measure(daemons []daemon, trace string, f func(u *usage) error) (u usage, err error) {
	u.trace = trace
	before := make([]counters, len(daemons))
	for i, d := range daemons {
		if before[i], err = d.read(); err != nil {
			return u, err
		}
	}
	start := time.Now()
	if err := f(&u); err != nil {
		return u, err
	}
	u.wall = time.Since(start)
	for i, d := range daemons {
		d.awaitChildren()
		after, err := d.read()
		if err != nil {
			return u, err
		}
		u.cpu += after.cpu - before[i].cpu
		u.switches += after.switches - before[i].switches
		u.rss = max(u.rss, after.rss)
	}
	return u, nil
}

// run executes a command to its end, counting it.
func (u *usage) run(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	u.ofProcess(cmd)
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}

func median[T int64 | time.Duration](v []T) T {
	if len(v) == 0 {
		return 0
	}
	s := slices.Clone(v)
	slices.Sort(s)
	return s[len(s)/2]
}
