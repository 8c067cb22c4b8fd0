// Command xferctl is the command line of xferd. What it does is in
// internal/command; here it is connected to the terminal and to a server.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/term"

	"github.com/xferd/xferd/api/client"
	"github.com/xferd/xferd/cmd/xferctl/internal/command"
)

func main() { os.Exit(run()) }

func run() int {
	return command.Run(context.Background(), os.Args[1:], command.Env{
		Stdin:     os.Stdin,
		Stdout:    os.Stdout,
		Stderr:    os.Stderr,
		Environ:   os.Environ(),
		ConfigDir: configDir,
		WorkDir:   workDir,
		Terminal: func(w io.Writer) bool {
			f, ok := w.(*os.File)
			return ok && term.IsTerminal(int(f.Fd()))
		},
		Width: func() int {
			columns, _, err := term.GetSize(int(os.Stderr.Fd()))
			if err != nil || columns <= 0 {
				return 80
			}
			return columns
		},
		Dial: dial,
		Signals: func() (<-chan os.Signal, func()) {
			c := make(chan os.Signal, 4)
			signal.Notify(c, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			return c, func() { signal.Stop(c) }
		},
		NewID: client.NewID,
	})
}

// configDir is ~/.config on every system, or what XDG_CONFIG_HOME says.
func configDir() (string, error) {
	if d := os.Getenv("XDG_CONFIG_HOME"); filepath.IsAbs(d) {
		return d, nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".config"), err
}

func workDir() (string, error) {
	d, err := os.Getwd()
	if err != nil {
		return "", err
	}
	if d, err = filepath.EvalSymlinks(d); err != nil {
		return "", err
	}
	return filepath.ToSlash(d), nil
}
