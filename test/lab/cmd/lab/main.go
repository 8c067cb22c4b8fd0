// Lab runs a program, or the tests of a package, in a virtual machine that has
// RDMA devices, or in two that are wired together. docs/lab.md is its manual.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/xferd/xferd/test/lab"
)

const usage = `usage:
  lab [flags] COMMAND [ARG...]        run a program of this computer in the lab
  lab -vms 2 [flags] COMMAND -- COMMAND   on machine A and on machine B
  lab -pkg ./rdma [flags] -- [-test.FLAG...] run a package's tests there
  lab -check                          say why it cannot run here, with exit code 1
flags:
`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("lab", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	job := lab.Job{Output: stdout}
	flags.IntVar(&job.VMs, "vms", 1, "machines, 1 or 2")
	flags.IntVar(&job.Links, "links", 1, "RDMA devices of each machine")
	flags.IntVar(&job.MTU, "mtu", 9000, "MTU of the network devices")
	flags.DurationVar(&job.Timeout, "timeout", 2*time.Minute, "bound of the run")
	flags.StringVar(&job.OutDir, "out", "", "directory for files that the command writes to $XFER_LAB_OUT")
	pkg := flags.String("pkg", "", "run the tests of this package")
	race := flags.Bool("race", false, "with -pkg: with the race detector (slow)")
	check := flags.Bool("check", false, "only prepare what a run needs")
	timing := flags.Bool("timing", false, "say how long each step took")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *check {
		if err := lab.Prepare(ctx); err != nil {
			fmt.Fprintln(stderr, "SKIP: the lab cannot run here:", err)
			return 1
		}
		return 0
	}
	job.Cmd = flags.Args()
	if *pkg != "" {
		var build []string
		if *race {
			build = append(build, "-race")
		}
		binary, err := lab.Compile(ctx, *pkg, build...)
		if err != nil {
			fmt.Fprintln(stderr, "lab:", err)
			return 125
		}
		defer binary.Close()
		job.Dir = binary.Dir
		job.Cmd = append([]string{binary.Path}, job.Cmd...)
	} else if job.VMs == 2 {
		for i, arg := range job.Cmd {
			if arg == "--" {
				job.Cmd, job.CmdB = job.Cmd[:i], job.Cmd[i+1:]
				break
			}
		}
	}
	res, err := lab.Run(ctx, job)
	for _, m := range res.Machines {
		if *timing {
			var steps []string
			for _, p := range m.Phases {
				steps = append(steps, fmt.Sprintf("%s %.2f s", p.Name, p.At.Seconds()))
			}
			fmt.Fprintf(stderr, "lab: %s: %s\n", m.Role, strings.Join(steps, ", "))
		}
		for _, line := range m.Trouble {
			fmt.Fprintf(stderr, "lab: kernel of %s: %s\n", m.Role, line)
		}
	}
	if err != nil {
		fmt.Fprintln(stderr, "lab:", err)
		return 125
	}
	return res.ExitCode
}
