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
  xferd state check DIR|FILE       read all of a state directory, or of such a copy, and
                                   say what is wrong with it
  xferd state dump [--logs] DIR    write its tables, and its logs, as JSON lines
  xferd state backup DIR FILE      copy the tables to a new file
  xferd state restore [--node NAME] DIR FILE
                                   put such a copy into DIR; what was there is kept beside it.
                                   It must be of the same node: --node says which that is
                                   where nothing in DIR does, since it is empty or damaged

No xferd may run on DIR meanwhile. Exit code 74: something is damaged. 78: it is of another
node or cluster, or of a newer xferd. 1: it could not be done: DIR is in use, or is no state
directory, or FILE is there already.
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
	var o stateOptions
	switch verb {
	case "dump":
		fs.BoolVar(&o.logs, "logs", false, "the logs of transfers too")
	case "restore":
		fs.StringVar(&o.node, "node", "", "the node that DIR is of, where nothing in it tells")
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
	if err := stateVerb(ctx, verb, fs.Args(), o, stdout); err != nil {
		fmt.Fprintf(stderr, "xferd: %v\n", err)
		return exitCode(err)
	}
	return exitOK
}

// stateOptions are the flags of the verbs.
type stateOptions struct {
	logs bool
	node string
}

// errProblems is a check that found some.
var errProblems = errors.New("problems")

func stateVerb(ctx context.Context, verb string, args []string, o stateOptions, stdout io.Writer) error {
	switch verb {
	case "check":
		return checkState(ctx, args[0], stdout)
	case "dump":
		return store.Dump(ctx, args[0], stdout, o.logs)
	case "backup":
		return store.Backup(ctx, args[0], args[1])
	}
	r, err := store.Restore(ctx, args[1], args[0], o.node)
	if err != nil {
		return err
	}
	if r.Kept != "" {
		fmt.Fprintf(stdout, "what was there is kept as %s\n", r.Kept)
	}
	_, err = fmt.Fprintf(stdout, "restored: node %s of cluster %s\n", r.NodeID, r.Cluster)
	return err
}

func checkState(ctx context.Context, dir string, stdout io.Writer) error {
	r, err := store.Check(ctx, dir)
	if err != nil {
		return err
	}
	if r.NodeID != "" { // else its head cannot be read
		fmt.Fprintf(stdout, "node %s of cluster %s, state %s, format %d, incarnation %d\n", r.NodeID, r.Cluster, r.StateUUID, r.Format, r.Incarnation)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Tables)) {
		fmt.Fprintf(stdout, "table %s: %d values\n", name, r.Tables[name])
	}
	if r.Backup {
		fmt.Fprintln(stdout, "a backup: no logs")
	} else {
		fmt.Fprintf(stdout, "%d logs\n", r.Logs)
	}
	if len(r.Problems) > 0 {
		return problems(dir, r, stdout)
	}
	_, err = fmt.Fprintln(stdout, "good")
	return err
}

// problems prints what is wrong, then what to do, each advice once.
func problems(dir string, r *store.Report, stdout io.Writer) error {
	var logs, others int
	var advice []string
	for _, p := range r.Problems {
		d, ok := errors.AsType[*store.DamagedError](p)
		if !ok {
			others++
			fmt.Fprintf(stdout, "problem: %v\n", p)
			continue
		}
		fmt.Fprintf(stdout, "problem: %s\n", d.What())
		what := d.Advice()
		switch {
		case d.OfLog():
			logs++
		case r.Backup:
			others++
			what = "this copy cannot be restored: take another one"
		default:
			others++
			what = "the daemon does not start with it. Keep the files, look with 'xferd state dump', and put a backup in place with 'xferd state restore'"
		}
		if !slices.Contains(advice, what) {
			advice = append(advice, what)
		}
	}
	for _, a := range advice {
		fmt.Fprintf(stdout, "what to do: %s\n", a)
	}
	if others == 0 {
		fmt.Fprintln(stdout, "the daemon starts all the same: the database is good")
	}
	return fmt.Errorf("%s: %w: %d in the database, %d in logs", dir, errProblems, others, logs)
}
