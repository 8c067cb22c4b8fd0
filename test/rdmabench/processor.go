package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of CPU times in /proc; see proc(5).
const tick = 10 * time.Millisecond

// processor is the CPU time of this process.
func processor() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// machine is how long the machine was busy since it was started, summed over its
// CPUs. rxe makes and takes packets in interrupts and threads of the kernel, which
// are no process's.
func machine() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return busy(string(b))
}

// busy reads the sum of all CPUs in /proc/stat.
func busy(stat string) (sum time.Duration, err error) {
	line, _, _ := strings.Cut(stat, "\n")
	f := strings.Fields(line)
	if len(f) < 8 || f[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	for i, name := range []string{"", "user", "nice", "system", "idle", "iowait", "irq", "softirq"} {
		if name == "" || name == "idle" || name == "iowait" {
			continue
		}
		n, err := strconv.ParseInt(f[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %s: %w", name, err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// load is the CPU time that something costs.
type load struct{ process, machine time.Duration }

func (l load) less(o load) load {
	return load{max(0, l.process-o.process), max(0, l.machine-o.machine)}
}

// meter begins to measure the load of the processes that process tells of. What
// it returns ends that.
func meter(process func() (time.Duration, error)) (end func() (load, error), err error) {
	read := func() (l load, err error) {
		if l.process, err = process(); err == nil {
			l.machine, err = machine()
		}
		return l, err
	}
	before, err := read()
	return func() (load, error) {
		after, err := read()
		return after.less(before), err
	}, err
}
