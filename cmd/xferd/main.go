// Command xferd runs a node: it keeps the node's transfers, moves their data,
// and serves the API.
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

	"github.com/xferd/xferd/cmd/internal/version"
	"github.com/xferd/xferd/cmd/xferd/internal/config"
	"github.com/xferd/xferd/cmd/xferd/internal/dev"
	"github.com/xferd/xferd/cmd/xferd/internal/kernel"
	"github.com/xferd/xferd/cmd/xferd/internal/node"
	"github.com/xferd/xferd/cmd/xferd/internal/systemd"
	"github.com/xferd/xferd/internal/fsroot"
	"github.com/xferd/xferd/internal/store"
	"github.com/xferd/xferd/internal/telemetry"
)

// Exit codes, as sysexits.h names them.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitState  = 74 // the state directory cannot be used as it is
	exitConfig = 78 // the configuration is wrong, or asks for what is not safe
)

const usage = `usage:
  xferd [--config FILE] [flags]           run a node
  xferd check-config [FILE] [flags]       read the configuration and say what is wrong with it
  xferd dev [--nodes N] [--dir DIR]       run a throw-away cluster on this machine
  xferd state check|dump DIR              look at a state directory while no xferd runs on it
  xferd state backup DIR FILE             copy it
  xferd state restore DIR FILE            put a copy back
  xferd version

Every key of the configuration file is also a flag (--listen-control for
listen: {control: ...}) and an environment variable (XFERD_LISTEN_CONTROL).
A flag beats the environment, the environment beats the file.

SIGHUP reads the file again and takes over exports, transport.policy, limits.*,
times.stall, times.retention and log.level; the log says which keys changed, and
which of them need a restart. A file with a mistake changes nothing.

Exit codes:
  0      ended as asked
  1      failed: the last line says why; starting again may help
  2      unknown command or flag
  74     the state directory is damaged, or cannot be read or written
  78     the configuration is wrong or not safe, or this machine does not fit it
  128+n  ended at once by a second signal n
`

const devUsage = `usage: xferd dev [--nodes N] [--dir DIR]

Runs a throw-away cluster: N real nodes in one process on loopback, each with its
own state and its export DIR/nK/data. What you put or copy into the exports stays.
All else that it made goes at the end, so it forgets its transfers: a copy that was
not over is not gone on with, and its temporary files are removed. State that was
in DIR before it started stays too.
`

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	command := ""
	if len(args) == 1 && (args[0] == "--version" || args[0] == "-version") {
		args = []string{"version"}
	}
	if len(args) > 0 && (args[0] == "" || args[0][0] != '-') {
		command, args = args[0], args[1:]
	}
	switch command {
	case "":
		return serve(args, stdout, stderr)
	case "check-config":
		return checkConfig(args, stdout, stderr)
	case "dev":
		return runDev(args, stdout, stderr)
	case "man":
		return writeMan(args, stdout, stderr)
	case "state":
		return runState(args, stdout, stderr)
	case "version":
		fmt.Fprintln(stdout, "xferd", version.String())
		return exitOK
	case "help":
		fmt.Fprint(stdout, usage)
		return exitOK
	}
	hint := ""
	if strings.HasSuffix(command, ".yaml") || strings.HasSuffix(command, ".yml") || strings.Contains(command, "/") {
		hint = "; to run a node by a file, write xferd --config " + command
	}
	return wrongUse(stderr, fmt.Errorf("unknown command %q%s", command, hint))
}

func serve(args []string, stdout, stderr io.Writer) int {
	asked, code, ok := parse("xferd", args, stdout, stderr)
	if !ok {
		return code
	}
	c, err := asked.tell(stderr)
	if err != nil {
		return exitConfig
	}
	defer keepHeapFloor()()
	fsroot.SetUmaskZero()
	logging, err := telemetry.NewLogging(stderr, c.Log.Level, telemetry.Format(c.Log.Format))
	if err != nil {
		fmt.Fprintf(stderr, "xferd: configuration: %v\n", err)
		return exitConfig
	}
	log := logging.With(telemetry.Node(c.Name))
	ctx, stop := signals()
	defer stop()
	n, err := node.New(ctx, c, node.Options{Log: log, Version: version.String()})
	if err != nil {
		fmt.Fprintf(stderr, "xferd: %v\n", err)
		return exitCode(err)
	}
	if c.Insecure {
		log.Warn("insecure: true: whoever reaches these ports from another host can read and write all exports", "control", n.ControlAddr(), "data", n.DataAddr())
	}
	log.Info("node is up", "version", version.String(), "control", n.ControlAddr(), "data", n.DataAddr(), "socket", c.Listen.Socket)
	if err := systemd.Notify("READY=1"); err != nil {
		log.Warn("tell the service manager", "err", err)
	}
	r := &reloader{
		log: log, started: c, running: c,
		load: func() (config.Config, error) {
			c, _, err := asked.read()
			return c, inOneLine(err)
		},
		apply: func(c config.Config) error {
			err := n.Reload(c)
			if err != nil {
				return err
			}
			return logging.SetLevel(c.Log.Level)
		},
	}
	stopReload := r.onHangup(ctx)
	err = n.Run(ctx)
	stopReload()
	_ = systemd.Notify("STOPPING=1")
	if err != nil {
		fmt.Fprintf(stderr, "xferd: %v\n", err)
		return exitCode(err)
	}
	log.Info("node stopped")
	return exitOK
}

// signals returns a context that ends with the first SIGTERM or SIGINT. A
// second one ends the process at once.
func signals() (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	c := make(chan os.Signal, 2)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			s, ok := <-c
			if !ok {
				return
			}
			if n > 0 {
				os.Exit(128 + int(s.(syscall.Signal)))
			}
			cancel()
		}
	}()
	return ctx, func() {
		signal.Stop(c)
		close(c)
		<-done
		cancel()
	}
}

// exitCode tells a supervisor whether starting again can help.
func exitCode(err error) int {
	if errors.Is(err, node.ErrConfig) {
		return exitConfig
	}
	if _, ok := errors.AsType[*kernel.TooOldError](err); ok {
		return exitConfig
	}
	if _, ok := errors.AsType[*store.FormatError](err); ok {
		return exitConfig
	}
	if _, ok := errors.AsType[*store.ForeignError](err); ok {
		return exitConfig
	}
	if _, ok := errors.AsType[*store.OtherBackupError](err); ok {
		return exitConfig
	}
	if _, ok := errors.AsType[*store.DamagedError](err); ok || errors.Is(err, errProblems) {
		return exitState
	}
	if _, ok := errors.AsType[*store.FailedError](err); ok {
		return exitState
	}
	return exitFailed
}

func runDev(args []string, stdout, stderr io.Writer) int {
	defer keepHeapFloor()()
	fs := quietFlags("xferd dev")
	o := dev.Options{Version: version.String(), Out: stdout}
	fs.IntVar(&o.Nodes, "nodes", 3, "how many nodes, 1 to 32")
	fs.StringVar(&o.Dir, "dir", "", "where the nodes keep state and exports (default: a new directory for temporary files)")
	level := fs.String("log-level", "warn", "debug, info, warn or error")
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		showFlags(stdout, devUsage, fs)
		return exitOK
	case err != nil:
		return wrongUse(stderr, err, "dev")
	case fs.NArg() > 0:
		return wrongUse(stderr, fmt.Errorf("unexpected argument %q", fs.Arg(0)), "dev")
	case o.Nodes < 1 || o.Nodes > dev.MaxNodes:
		return wrongUse(stderr, fmt.Errorf("--nodes %d: take 1 to %d", o.Nodes, dev.MaxNodes), "dev")
	}
	logging, err := telemetry.NewLogging(stderr, *level, telemetry.Text)
	if err != nil {
		fmt.Fprintf(stderr, "xferd dev: %v\n", err)
		return exitUsage
	}
	o.Log = logging.Logger
	fsroot.SetUmaskZero()
	ctx, stop := signals()
	defer stop()
	start := time.Now()
	o.Ready = func() { o.Log.Debug("cluster is up", "after", time.Since(start)) }
	if err := dev.Run(ctx, o); err != nil {
		fmt.Fprintf(stderr, "xferd dev: %v\n", err)
		return exitCode(err)
	}
	return exitOK
}
