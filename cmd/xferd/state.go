package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/xferd/xferd/internal/store"
)

const stateUsage = `usage:
  xferd state check DIR            read all of a state directory and say what is wrong with it
  xferd state dump [--logs] DIR    write its tables, and its logs, as JSON lines
  xferd state backup DIR FILE      copy the tables to a new file
  xferd state restore DIR FILE     put such a copy into DIR; what was there is kept beside it

No xferd may run on DIR meanwhile.
`

// runState works on a state directory that no daemon uses.
func runState(args []string, stdout, stderr io.Writer) int {
	verb := ""
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	if verb == "help" || verb == "--help" || verb == "-h" {
		fmt.Fprint(stdout, stateUsage)
		return exitOK
	}
	fs := quietFlags("xferd state " + verb)
	logs := false
	if verb == "dump" {
		fs.BoolVar(&logs, "logs", false, "the logs of transfers too")
	}
	want := map[string]int{"check": 1, "dump": 1, "backup": 2, "restore": 2}[verb]
	switch err := fs.Parse(args); {
	case want == 0:
		return wrongUse(stderr, fmt.Errorf("xferd state is followed by check, dump, backup or restore, not by %q", verb), "state")
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, stateUsage)
		return exitOK
	case err != nil:
		return wrongUse(stderr, err, "state")
	case fs.NArg() != want:
		return wrongUse(stderr, fmt.Errorf("%s takes %d arguments, not %d", verb, want, fs.NArg()), "state")
	}
	ctx, stop := signals()
	defer stop()
	if err := stateVerb(ctx, verb, fs.Args(), logs, stdout); err != nil {
		fmt.Fprintf(stderr, "xferd: %v\n", err)
		return exitState
	}
	return exitOK
}

func stateVerb(ctx context.Context, verb string, args []string, logs bool, stdout io.Writer) error {
	switch verb {
	case "check":
		return checkState(ctx, args[0], stdout)
	case "dump":
		return store.Dump(ctx, args[0], stdout, logs)
	case "backup":
		return store.Backup(ctx, args[0], args[1])
	}
	kept, err := store.Restore(ctx, args[1], args[0])
	if err == nil && kept != "" {
		_, err = fmt.Fprintf(stdout, "what was there is kept as %s\n", kept)
	}
	return err
}

func checkState(ctx context.Context, dir string, stdout io.Writer) error {
	r, err := store.Check(ctx, dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "node %s of cluster %s, state %s, format %d, incarnation %d\n", r.NodeID, r.Cluster, r.StateUUID, r.Format, r.Incarnation)
	for _, name := range slices.Sorted(maps.Keys(r.Tables)) {
		fmt.Fprintf(stdout, "table %s: %d values\n", name, r.Tables[name])
	}
	fmt.Fprintf(stdout, "%d logs\n", r.Logs)
	for _, p := range r.Problems {
		fmt.Fprintf(stdout, "problem: %v\n", p)
	}
	if n := len(r.Problems); n > 0 {
		return fmt.Errorf("%s: %d problems", dir, n)
	}
	_, err = fmt.Fprintln(stdout, "good")
	return err
}
