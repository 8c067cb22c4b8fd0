package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xferd/xferd/cmd/xferd/internal/kernel"
	"github.com/xferd/xferd/cmd/xferd/internal/node"
)

// TestCheckConfig runs the command on files that are good and wrong.
func TestCheckConfig(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	file := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	good := file("good.yaml", "name: n1\nlisten: {socket: s}\nstate_dir: state\nexports: [data:rw]\n")
	port := file("port.yaml", "name: n1\nlisten:\n  socket: s\n  control: \"127.0.0.1:1845199\"\nstate_dir: state\nexports: [data:rw]\n")
	many := file("many.yaml", `name: n1
listen:
  control: "0.0.0.0:7440"
  socket: missing/run/s
  socket_group: no-such-group
state_dir: gone/dir/state
exports:
  - {path: missing, mode: rw}
  - {path: good.yaml, mode: ro}
`)
	kinds := file("kinds.yaml", `name: n1
naem: n2
listen: {control: "0.0.0.0:7440", http: nowhere, socket: s}
state_dir: state
log: {level: loud}
times: {stall: soon}
exports: [{path: missing, mode: rx}, {path: missing2, mode: rw}]
`)
	twice := file("twice.yaml", "name: n1\nname: n2\nexports: [data:rw]\n")
	for _, c := range []struct {
		args   []string
		code   int
		stdout string
		stderr []string
	}{
		{[]string{"--config", good}, exitOK, good + ": good; node n1 of cluster default, 1 exports\n", nil},
		{[]string{good}, exitOK, good + ": good; node n1", nil},
		{[]string{good, "--name", "n7"}, exitOK, good + ": good; node n7", nil},
		{[]string{"--name", "n7", good}, exitOK, good + ": good; node n7", nil},
		{[]string{"--insecure", good}, exitOK, good + ": good; node n1", nil},
		{[]string{good, twice}, exitUsage, "", []string{"unexpected argument \"" + twice + "\""}},
		{[]string{port}, exitConfig, "", []string{port + `:4:12: listen.control: "127.0.0.1:1845199" has the port "1845199", which is no number from 0 to 65535; write host:port`}},
		{[]string{twice}, exitConfig, "", []string{twice + `:2:1: duplicate key "name": it is set at ` + twice + ":1:1 already; leave one of them out"}},
		{[]string{filepath.Join(dir, "none.yaml")}, exitConfig, "", []string{"none.yaml: no such file"}},
		{nil, exitConfig, "", []string{"xferd: configuration: no configuration file was given, and no --export: write --config FILE"}},
		{[]string{kinds}, exitConfig, "", []string{
			":2:1: unknown key naem", ":3:19: listen.control: ", "insecure: true", `:3:41: listen.http: "nowhere" is not host:port`,
			`:5:14: log.level: "loud"`, `:6:16: times.stall: "soon"`,
			":7:11: exports[0]: ", "neither ro nor rw", "exports[0]: the directory " + dir + "/missing is not there", "exports[1]: the directory " + dir + "/missing2 is not there",
		}},
		{[]string{many}, exitConfig, "", []string{
			many + ":3:12: listen.control: ", "set insecure: true",
			many + ":4:11: listen.socket: the directory " + dir + "/missing is not there: make it (install -d " + dir + "/missing), mount it, or write another path",
			many + ":5:17: listen.socket_group: ", "groupadd --system no-such-group",
			many + ":6:12: state_dir: the directory " + dir + "/gone/dir is not there: make it",
			many + ":8:5: exports[0]: the directory " + dir + "/missing is not there: make it (install -d " + dir + "/missing), or write another path",
			many + ":9:5: exports[1]: " + good + " is not a directory: write the path of one",
		}},
	} {
		var stdout, stderr bytes.Buffer
		code := run(append([]string{"check-config"}, c.args...), &stdout, &stderr)
		if code != c.code || !strings.HasPrefix(stdout.String(), c.stdout) || c.stdout == "" && stdout.Len() > 0 {
			t.Errorf("%q: exit %d, want %d; stdout %q\n%s", c.args, code, c.code, &stdout, &stderr)
		}
		for _, want := range c.stderr {
			if !strings.Contains(stderr.String(), want) {
				t.Errorf("%q: no %q in\n%s", c.args, want, &stderr)
			}
		}
		for line := range strings.Lines(stderr.String()) {
			if code == exitConfig && !strings.HasPrefix(line, "xferd: configuration: ") {
				t.Errorf("%q: a line that does not say what it is about: %q", c.args, line)
			}
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "s*")); left != nil {
		t.Errorf("check-config made %q", left)
	}
}

func TestUnknownCommand(t *testing.T) {
	for _, c := range []struct{ arg, want string }{
		{"/etc/xferd/xferd.yaml", "write xferd --config /etc/xferd/xferd.yaml"},
		{"n1.yaml", "write xferd --config n1.yaml"},
		{"chekc", `unknown command "chekc"; see xferd --help` + "\n"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run([]string{c.arg}, &stdout, &stderr); code != exitUsage || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("%s: exit %d\n%s", c.arg, code, &stderr)
		}
	}
}

// TestOneLineForAWrongCommandLine: the error is the last thing on the screen.
func TestOneLineForAWrongCommandLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--no-such-flag"}, "xferd: flag provided but not defined: -no-such-flag; see xferd --help\n"},
		{[]string{"--times-stall", "soon"}, "see xferd --help\n"},
		{[]string{"--name", "n1", "extra"}, "see xferd --help\n"},
		{[]string{"check-config", "--x"}, "see xferd --help\n"},
		{[]string{"dev", "--node", "3"}, "see xferd dev --help\n"},
		{[]string{"dev", "--nodes", "0"}, "xferd: --nodes 0: take 1 to 32; see xferd dev --help\n"},
		{[]string{"state", "chekc"}, "see xferd state --help\n"},
		{[]string{"state", "backup", "x"}, "see xferd state --help\n"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(c.args, &stdout, &stderr)
		if code != exitUsage || strings.Count(stderr.String(), "\n") != 1 || !strings.HasSuffix(stderr.String(), c.want) || stdout.Len() > 0 {
			t.Errorf("%q: exit %d\n%s%s", c.args, code, &stdout, &stderr)
		}
	}
	for _, args := range [][]string{{"--help"}, {"check-config", "-h"}, {"dev", "--help"}, {"state", "--help"}, {"state", "dump", "--help"}} {
		var stdout, stderr bytes.Buffer
		if code := run(args, &stdout, &stderr); code != exitOK || stderr.Len() > 0 || !strings.Contains(stdout.String(), "usage:") {
			t.Errorf("%q: exit %d\n%s%s", args, code, &stdout, &stderr)
		}
	}
}

// TestExitCodes: what only another configuration or host mends is not tried
// again by a supervisor.
func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{fmt.Errorf("%w: x", node.ErrConfig), exitConfig},
		{fmt.Errorf("n1: %w", kernel.Check("5.4.0")), exitConfig},
		{os.ErrPermission, exitFailed},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%v: exit %d, want %d", c.err, got, c.want)
		}
	}
}
