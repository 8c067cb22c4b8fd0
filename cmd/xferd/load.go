package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/xferd/xferd/cmd/xferd/internal/config"
	"github.com/xferd/xferd/cmd/xferd/internal/node"
)

const checkConfigName = "xferd check-config"

// request is a command line that names a configuration.
type request struct {
	path  string // empty: no file
	flags config.Flags
}

// parse reads the command line. ok is false when it was told already why there
// is nothing to do; then code is the exit code.
func parse(name string, args []string, stdout, stderr io.Writer) (r request, code int, ok bool) {
	fs := quietFlags(name)
	r.path = os.Getenv("XFERD_CONFIG")
	fs.StringVar(&r.path, "config", r.path, "the configuration `FILE` (XFERD_CONFIG)")
	r.flags.Define(fs)
	err := fs.Parse(args)
	if file := fs.Arg(0); err == nil && file != "" && name == checkConfigName {
		// The file may stand alone, before or after the flags.
		rest := fs.Args()[1:]
		if err = fs.Set("config", file); err == nil {
			err = fs.Parse(rest)
		}
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		showFlags(stdout, usage, fs)
		return r, exitOK, false
	case err != nil:
		return r, wrongUse(stderr, err), false
	case fs.NArg() > 0:
		return r, wrongUse(stderr, fmt.Errorf("unexpected argument %q; a configuration file goes after --config", fs.Arg(0))), false
	}
	return r, exitOK, true
}

// read reads the configuration and looks at what it names on this host. The
// error joins everything that can be told to be wrong in one go.
func (r *request) read() (c config.Config, warnings []string, err error) {
	dir, err := os.Getwd()
	if err != nil {
		dir = "/"
	}
	c, warnings, err = config.Load(r.path, r.flags, os.Environ(), dir)
	if config.Unreadable(err) {
		return c, warnings, err
	}
	return c, warnings, config.JoinByKey(err, node.Check(c))
}

// tell is read that writes one line for each thing that is wrong.
func (r *request) tell(stderr io.Writer) (config.Config, error) {
	c, warnings, err := r.read()
	for _, w := range warnings {
		fmt.Fprintln(stderr, "xferd: warning:", w)
	}
	if err != nil {
		for _, e := range config.Each(err) {
			fmt.Fprintf(stderr, "xferd: configuration: %v\n", e)
		}
	}
	return c, err
}

// inOneLine is for the log.
func inOneLine(err error) error {
	if err == nil {
		return nil
	}
	var all []string
	for _, e := range config.Each(err) {
		all = append(all, e.Error())
	}
	return errors.New("the configuration is not taken over: " + strings.Join(slices.Compact(all), "; "))
}

func checkConfig(args []string, stdout, stderr io.Writer) int {
	r, code, ok := parse(checkConfigName, args, stdout, stderr)
	if !ok {
		return code
	}
	c, err := r.tell(stderr)
	if err != nil {
		return exitConfig
	}
	path := r.path
	if path == "" {
		path = "flags and environment"
	}
	fmt.Fprintf(stdout, "%s: good; node %s of cluster %s, %d exports\n", path, c.Name, c.Cluster, len(c.Exports))
	return exitOK
}
