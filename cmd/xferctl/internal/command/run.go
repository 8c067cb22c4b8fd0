// Package command is the commands of xferctl, one file each, and what they
// share: how a transfer is followed to its end, what is printed of it and which
// exit code that gives. It talks to a server only through [API], and to the
// world only through [Env], so that tests can stand in for both.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/xferd/xferd/api/client"
	"github.com/xferd/xferd/cmd/xferctl/internal/exit"
	"github.com/xferd/xferd/cmd/xferctl/internal/settings"
	"github.com/xferd/xferd/cmd/xferctl/internal/show"
)

// Env is the world around a run of xferctl.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Environ        []string // as os.Environ
	ConfigDir      func() (string, error)
	// WorkDir returns the working directory without symbolic links.
	WorkDir func() (string, error)
	// Terminal reports whether a stream is one, and Width how many columns it
	// has.
	Terminal func(io.Writer) bool
	Width    func() int
	Dial     func(context.Context, settings.Settings) (API, error)
	// Signals starts to deliver SIGINT, SIGTERM and SIGHUP instead of ending the
	// program, until stop is called.
	Signals func() (c <-chan os.Signal, stop func())
	// NewID makes a transfer id that nobody else makes.
	NewID func() string
}

// app is one run.
type app struct {
	env      Env
	out, err *sink
	set      settings.Settings
	flags    globalFlags
	api      API
	guesses  []guess
	typed    []string // places of cp and sync, as they were typed
}

// Run runs one command line, without the program's name, and returns the exit
// code. It has printed what there was to say.
func Run(ctx context.Context, args []string, env Env) int {
	a := &app{env: env, out: &sink{w: env.Stdout}, err: &sink{w: env.Stderr}}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(env.Stdin)
	root.SetOut(a.out)
	root.SetErr(a.err)
	cmd, err := root.ExecuteContextC(ctx)
	if a.api != nil {
		_ = a.api.Close() // nothing of the answer depends on it
	}
	return a.finish(cmd, err)
}

func (a *app) finish(cmd *cobra.Command, err error) int {
	if brokenPipe(a.out.failed) || brokenPipe(a.err.failed) {
		return exit.Pipe // nobody listens any more
	}
	code := codeOf(err)
	if e, ok := errors.AsType[*exit.Error](err); err != nil && (!ok || e.Err != nil) {
		a.complain(a.errorText(err))
		if isCall(err) {
			call := client.AsError(err)
			a.hint(call.Reason, call.Node)
			a.hintPattern(call.Reason)
			a.hintNode(cmd.Context(), call.Reason, call.Node)
		}
		if code == exit.Usage && cmd != nil && !isCall(err) {
			a.errf("Run '%s --help' for usage.\n", cmd.CommandPath())
		}
	}
	if a.out.failed != nil {
		a.complain("standard output: " + a.out.failed.Error())
		if code == exit.OK {
			code = exit.Failed
		}
	}
	return code
}

// complain prints an error.
func (a *app) complain(text string) { a.errf("xferctl: %s\n", show.Text(text)) }

// warn prints what is no error of the command, unless -q was given.
func (a *app) warn(text string) {
	if !a.flags.quiet {
		a.complain("warning: " + text)
	}
}

func (a *app) errf(format string, args ...any) { fmt.Fprintf(a.err, format, args...) }
func (a *app) outf(format string, args ...any) { fmt.Fprintf(a.out, format, args...) }

// server returns the connection, which is made at the first call.
func (a *app) server(ctx context.Context) (API, error) {
	if a.api == nil {
		api, err := a.env.Dial(ctx, a.set)
		if err != nil {
			return nil, err
		}
		a.api = api
	}
	return a.api, nil
}

// handler is what a command does. Settings are loaded by then.
type handler func(ctx context.Context, args []string) error

// do makes a handler a cobra function.
func (a *app) do(h handler) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := a.load(cmd); err != nil {
			return err
		}
		return h(cmd.Context(), args)
	}
}

func (a *app) load(cmd *cobra.Command) error {
	src := settings.Sources{Flags: map[string]string{}, Environ: a.env.Environ, ConfigDir: a.env.ConfigDir}
	for _, name := range []string{"server", "ca", "cert", "key", "output", "insecure"} {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
			src.Flags[name] = f.Value.String()
		}
	}
	set, warnings, err := settings.Load(src)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	a.set = set
	for _, w := range warnings {
		a.warn(w)
	}
	return nil
}

// sink remembers the first error of a stream and writes nothing after it.
type sink struct {
	w      io.Writer
	failed error
}

func (s *sink) Write(b []byte) (int, error) {
	if s.failed != nil {
		return 0, s.failed
	}
	n, err := s.w.Write(b)
	if err != nil {
		s.failed = err
	}
	return n, err
}
