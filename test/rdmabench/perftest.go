package main

import (
	"bytes"
	"context"
	"errors"
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

// errClock: ib_write_bw compares the counter of cycles with the clock first, and
// finds no rate where other work of the computer disturbed that.
var errClock = errors.New("ib_write_bw could not tell the frequency of its processor")

// perftest is perftestOnce, again where the clock was disturbed.
func perftest(ctx context.Context, messages int) (r run, err error) {
	for range 10 {
		if r, err = perftestOnce(ctx, messages); !errors.Is(err, errClock) {
			break
		}
	}
	return r, err
}

// perftestOnce runs ib_write_bw against itself. The rate is its own, of the time in
// which it moves data; the CPU time is that of both processes, with their start.
func perftestOnce(ctx context.Context, messages int) (run, error) {
	before, err := machine()
	if err != nil {
		return run{}, err
	}
	out, cpu, err := against(ctx, "ib_write_bw", "-s", strconv.Itoa(message), "-n", strconv.Itoa(messages))
	if err != nil {
		return run{}, err
	}
	after, err := machine()
	if err != nil {
		return run{}, err
	}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 4 || f[0] != strconv.Itoa(message) {
			continue
		}
		mib, err := strconv.ParseFloat(f[3], 64) // its MB are MiB
		if err == nil && mib == 0 {
			return run{}, fmt.Errorf("%w:\n%s", errClock, out)
		}
		if err != nil || mib < 0 {
			return run{}, fmt.Errorf("the average %q of\n%s", f[3], out)
		}
		r := run{bytes: int64(messages) * message}
		r.wall = time.Duration(float64(messages) / mib * float64(time.Second))
		r.cpu = load{cpu, after - before}
		return r, nil
	}
	return run{}, fmt.Errorf("no result in\n%s", out)
}

// against runs a program of perftest against itself, and returns what its client
// says and the CPU time of both.
func against(ctx context.Context, program string, args ...string) (_ string, cpu time.Duration, err error) {
	args = append([]string{"-d", os.Getenv(lab.EnvDevice), "-x", "1", "-F"}, args...)
	// Its programs retry for ever.
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var said, out bytes.Buffer
	server := exec.CommandContext(ctx, program, args...)
	server.Stdout, server.Stderr = &said, &said
	if err := server.Start(); err != nil {
		return "", 0, err
	}
	client := exec.CommandContext(ctx, program, append(args, os.Getenv(lab.EnvAddr))...)
	client.Stdout, client.Stderr = &out, &out
	err = exec.CommandContext(ctx, "lab-listening", "18515").Run()
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
		return "", 0, fmt.Errorf("%w\n%s%s", err, said.Bytes(), out.Bytes())
	}
	return out.String(), used(server.ProcessState) + used(client.ProcessState), nil
}

// overhead is the load of the start of ib_write_bw: that of runs which move next to
// nothing.
func overhead(ctx context.Context) (l load, err error) {
	const fewest = 5 // messages that it can be told to send
	var runs []run
	for range 3 {
		r, err := perftest(ctx, fewest)
		if err != nil {
			return l, err
		}
		runs = append(runs, r)
	}
	seconds := func(f func(run) float64) time.Duration { return time.Duration(median(runs, f) * float64(time.Second)) }
	return load{
		seconds(func(r run) float64 { return r.cpu.process.Seconds() }),
		seconds(func(r run) float64 { return r.cpu.machine.Seconds() }),
	}, nil
}

func used(p *os.ProcessState) time.Duration {
	u := p.SysUsage().(*syscall.Rusage)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
