package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// syscalls counts the system calls of both ends in one more run, under strace,
// which is not timed. Processes of the run itself are started under strace;
// daemons are attached to.
func syscalls(ctx context.Context, c contender, w workload, root string) (int64, error) {
	if err := need("strace"); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp(root, "strace")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	var tracers []*exec.Cmd
	for i, d := range c.daemons {
		t := exec.Command("strace", "-f", "-c", "-q", "-o", filepath.Join(dir, "daemon"+strconv.Itoa(i)), "-p", strconv.Itoa(d.pid))
		if err := t.Start(); err != nil {
			return 0, err
		}
		tracers = append(tracers, t)
		// strace says nothing when it has attached to all threads; TracerPid does.
		if err := waitTraced(d.pid); err != nil {
			return 0, err
		}
	}
	_, err = once(ctx, c, w, root, false, dir)
	for _, t := range tracers {
		_ = t.Process.Signal(syscall.SIGINT)
		_ = t.Wait()
	}
	if err != nil {
		return 0, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return 0, err
	}
	var total int64
	for _, f := range files {
		n, err := totalCalls(f)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

func waitTraced(pid int) error {
	for range 500 {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return err
		}
		if !bytes.Contains(b, []byte("TracerPid:\t0\n")) {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("strace did not attach to %d", pid)
}

// totalCalls reads the last line of strace -c: "100.00 0.1 1 1234 5 total".
func totalCalls(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) >= 4 && fields[len(fields)-1] == "total" {
			return strconv.ParseInt(fields[3], 10, 64)
		}
	}
	return 0, fmt.Errorf("no total in %s", path)
}
