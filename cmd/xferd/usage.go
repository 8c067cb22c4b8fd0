package main

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

// quietFlags returns flags that print nothing themselves: an error stands alone
// on the last line, and not above a screen of flags.
func quietFlags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	return fs
}

// showFlags writes what --help asks for.
func showFlags(w io.Writer, text string, fs *flag.FlagSet) {
	fmt.Fprint(w, text, "\nflags:\n")
	fs.SetOutput(w)
	fs.PrintDefaults()
	fs.SetOutput(io.Discard)
}

// wrongUse tells of a mistake on the command line, and where help is.
func wrongUse(stderr io.Writer, err error, command ...string) int {
	words := append([]string{"xferd"}, command...)
	fmt.Fprintf(stderr, "xferd: %v; see %s --help\n", err, strings.Join(words, " "))
	return exitUsage
}
