package main

import (
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"xferctl": main})
}

// TestScripts runs the real program where no daemon is needed.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":  exits,
			"closed": closed,
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("XFERCTL_SERVER", "unix://"+e.WorkDir+"/no.sock")
			return nil
		},
	})
}

// exits CODE COMMAND... runs a command that must end with that code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if e, ok := err.(*exec.ExitError); ok {
		got = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// closed COMMAND... runs a command whose stdout nobody reads any more. It must
// end as the signal for that does, and print nothing.
func closed(ts *testscript.TestScript, neg bool, args []string) {
	r, w, err := os.Pipe()
	ts.Check(err)
	ts.Check(r.Close())
	defer w.Close()
	path, err := exec.LookPath(args[0])
	ts.Check(err)
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("HOME"))
	cmd.Stdout = w
	var stderr captured
	cmd.Stderr = &stderr
	err = cmd.Run()
	e, ok := err.(*exec.ExitError)
	if !ok {
		ts.Fatalf("it did not notice: %v", err)
	}
	if code := e.ExitCode(); code != 141 && e.String() != "signal: broken pipe" {
		ts.Fatalf("it ended with %v", e)
	}
	if len(stderr) > 0 {
		ts.Fatalf("it printed %q", stderr)
	}
}

type captured []byte

func (c *captured) Write(b []byte) (int, error) {
	*c = append(*c, b...)
	return len(b), nil
}
