package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/xferd/xferd/test/needs"
)

// traceCalls has strace write down the system calls of a process, until the
// function that it returns is called, which gives the name of the file.
func traceCalls(t *testing.T, pid int, options ...string) (stop func() string) {
	t.Helper()
	strace := needs.Program(t, "strace")
	out := filepath.Join(newDir(t), "trace")
	args := append([]string{"-f", "-q", "-e", "signal=none", "-o", out, "-p", strconv.Itoa(pid)}, options...)
	trace, err := start("strace", os.Environ(), strace, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(trace.kill)
	if !attached(pid, trace) {
		needs.Missing(t, "a process may not be traced: %s", strings.TrimSpace(trace.stderr.String()))
	}
	return func() string {
		_ = trace.signal(syscall.SIGINT)
		<-trace.done
		return out
	}
}

// attached waits until strace holds every thread of a process.
func attached(pid int, trace *process) bool {
	ok := poll(func() bool {
		if trace.ended() {
			return true
		}
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		if err != nil || len(tasks) == 0 {
			return false
		}
		for _, task := range tasks {
			b, err := os.ReadFile(task)
			if err == nil && strings.Contains(string(b), "TracerPid:\t0\n") {
				return false
			}
		}
		return true
	})
	return ok && !trace.ended()
}
