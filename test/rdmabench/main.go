package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/xferd/xferd/test/lab"
)

type options struct {
	rounds  int
	mib     int
	chunk   int
	streams int
	queues  int
	timeout time.Duration
	file    bool
	small   bool
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 9, "measurements of each, alternating")
	flag.IntVar(&o.mib, "mib", 256, "MiB that each moves")
	flag.IntVar(&o.chunk, "chunk", 4, "chunk size in MiB, of the transport alone")
	flag.IntVar(&o.streams, "streams", 4, "streams, of the transport alone")
	flag.IntVar(&o.queues, "queues", 0, "queue pairs of a rail, of the transport alone; 0 is its default")
	flag.DurationVar(&o.timeout, "timeout", 15*time.Minute, "bound of it all")
	flag.BoolVar(&o.file, "file", true, "from file to file between daemons too")
	flag.BoolVar(&o.small, "small", false, "only how long 4 KiB take")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := boot
	if lab.Inside() {
		run = measure
	}
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "rdmabench:", err)
		os.Exit(1)
	}
}

// boot builds what is measured where the lab sees it, and runs this program
// there.
func boot(ctx context.Context, o options) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(cache, "xferd-rdmabench.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", dir+"/",
		"github.com/xferd/xferd/cmd/xferd", "github.com/xferd/xferd/cmd/xferctl", "github.com/xferd/xferd/test/rdmabench")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build: %w", err)
	}
	res, err := lab.Run(ctx, lab.Job{
		Cmd: []string{filepath.Join(dir, "rdmabench"), "-rounds", strconv.Itoa(o.rounds), "-mib", strconv.Itoa(o.mib), "-chunk", strconv.Itoa(o.chunk),
			"-streams", strconv.Itoa(o.streams), "-queues", strconv.Itoa(o.queues), "-file=" + strconv.FormatBool(o.file), "-small=" + strconv.FormatBool(o.small)},
		Dir: dir, Env: []string{"XFER_BENCH_BIN=" + dir}, Timeout: o.timeout, Output: os.Stdout, MemoryMiB: 6144,
	})
	if err != nil {
		return err
	}
	if res.ExitCode != 0 {
		return errors.New("it failed in the lab")
	}
	return nil
}
