package sender

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// BenchmarkSmallFiles tells the CPU time of owner, pipe and fake target together
// for one small file.
func BenchmarkSmallFiles(b *testing.B) {
	const n = 5000
	files := map[string]int{}
	for i := range n {
		files[fmt.Sprintf("d%d/f%d", i%300, i)] = 4000 + i%1000
	}
	r := newRig(b, files, nil)
	var cpu time.Duration
	for b.Loop() {
		target, link := newFakeTarget(b)
		r.config.Dialers[transport.TCP] = target
		r.job.UID = transfer.NewUID()
		before := cpuTime()
		if _, err := New(r.config, r.job, link, &recorder{}).Run(b.Context()); err != nil {
			b.Fatal(err)
		}
		cpu += cpuTime() - before
		target.close()
	}
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N)/n, "cpu-ns/file")
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
