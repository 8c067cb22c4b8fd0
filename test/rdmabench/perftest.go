package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/xferd/xferd/test/lab"
)

const message = 1 << 20

// perftest runs ib_write_bw against itself. The rate is its own, of the time in
// which it moves data; the CPU time is that of both processes.
func perftest(ctx context.Context, o options) (run, error) {
	args := []string{"-d", os.Getenv(lab.EnvDevice), "-x", "1", "-s", strconv.Itoa(message), "-n", strconv.Itoa(o.mib), "-F"}
	// Its programs retry for ever.
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var said, out bytes.Buffer
	server := exec.CommandContext(ctx, "ib_write_bw", args...)
	server.Stdout, server.Stderr = &said, &said
	if err := server.Start(); err != nil {
		return run{}, err
	}
	client := exec.CommandContext(ctx, "ib_write_bw", append(args, os.Getenv(lab.EnvAddr))...)
	client.Stdout, client.Stderr = &out, &out
	err := exec.CommandContext(ctx, "lab-listening", "18515").Run()
	if err == nil {
		err = client.Run()
	}
	if err != nil {
		cancel()
	}
	if serr := server.Wait(); err == nil {
		err = serr
	}
	if err != nil {
		return run{}, fmt.Errorf("%w\n%s%s", err, said.Bytes(), out.Bytes())
	}
	for line := range strings.Lines(out.String()) {
		f := strings.Fields(line)
		if len(f) < 4 || f[0] != strconv.Itoa(message) {
			continue
		}
		mib, err := strconv.ParseFloat(f[3], 64) // its MB are MiB
		if err != nil || mib <= 0 {
			return run{}, fmt.Errorf("the average %q of\n%s", f[3], out.Bytes())
		}
		r := run{bytes: int64(o.mib) << 20}
		r.wall = time.Duration(float64(o.mib) / mib * float64(time.Second))
		r.cpu = used(server.ProcessState) + used(client.ProcessState)
		return r, nil
	}
	return run{}, fmt.Errorf("no result in\n%s", out.Bytes())
}

func used(p *os.ProcessState) time.Duration {
	u := p.SysUsage().(*syscall.Rusage)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
