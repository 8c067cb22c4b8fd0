package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs the scripts of testdata/script. They see
//
//	$d1 $d2 $d3   a directory of their own in the exports of n1, n2 and n3
//	$s1 $s2 $s3   the servers of these, as in --server; $s1 is the default
//
// of the shared cluster, or of their own after the command farm. The commands
// are below.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:         "testdata/script",
		WorkdirRoot: newDir(t),
		Cmds:        commands,
		Setup:       setup,
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root":
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// world is what one script has beside its work directory.
type world struct {
	farm       *farm
	uid        int // of the daemons of the farm
	background map[string]*process
}

func setup(env *testscript.Env) error {
	w := &world{background: map[string]*process{}}
	env.Values["world"] = w
	env.Defer(func() {
		for _, p := range w.background {
			p.kill()
		}
		if w.farm != nil {
			if err := w.farm.stop(); err != nil {
				env.T().Fatal(err)
			}
		}
	})
	c, dirs, err := shared.dirs("script")
	if err != nil {
		return err
	}
	env.Defer(func() {
		for _, d := range dirs {
			os.RemoveAll(d)
		}
	})
	env.Setenv("PATH", binDir+":"+os.Getenv("PATH"))
	env.Setenv("TMPDIR", scratch)
	env.Setenv("id", filepath.Base(dirs[0])) // fit for the id of a transfer
	env.Setenv("XFERCTL_SERVER", c.nodes[0].server())
	for i, d := range dirs {
		env.Setenv(fmt.Sprintf("d%d", i+1), d)
		env.Setenv(fmt.Sprintf("s%d", i+1), c.nodes[i].server())
	}
	return nil
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value("world").(*world) }

var commands = map[string]func(*testscript.TestScript, bool, []string){
	"xferctl":  cmdXferctl,
	"xferd":    cmdXferd,
	"farm":     cmdFarm,
	"node":     cmdNode,
	"bg":       cmdBackground,
	"signal":   cmdSignal,
	"ended":    cmdEnded,
	"until":    cmdUntil,
	"hurry":    cmdHurry,
	"result":   cmdResult,
	"file":     cmdFile,
	"touch":    cmdTouch,
	"same":     cmdSame,
	"absent":   cmdAbsent,
	"no-temps": cmdNoTemps,
	"mode":     cmdMode,
	"keep":     cmdKeep,

	"as-nobody":     cmdAsNobody,
	"envsubst":      cmdEnvsubst,
	"shown":         cmdShown,
	"closed-stdout": cmdClosedStdout,
}

func refuse(ts *testscript.TestScript, neg bool, ok bool, usage string) {
	if neg || !ok {
		ts.Fatalf("usage: %s", usage)
	}
}

// xferctl [CODE] ARG...   runs xferctl, which must end with CODE, default 0.
func cmdXferctl(ts *testscript.TestScript, neg bool, args []string) {
	refuse(ts, neg, len(args) > 0, "xferctl [CODE] ARG...")
	want := 0
	if _, err := fmt.Sscanf(args[0], "%d", &want); err == nil {
		args = args[1:]
	}
	code := execCode(ts, program("xferctl"), args...)
	if code != want {
		ts.Fatalf("exit %d, want %d", code, want)
	}
	if strings.Contains(ts.ReadFile("stderr"), "goroutine ") {
		ts.Fatalf("xferctl shows its inside")
	}
}

// xferd CODE ARG...   runs xferd, which must end by itself with CODE.
func cmdXferd(ts *testscript.TestScript, neg bool, args []string) {
	refuse(ts, neg, len(args) > 0, "xferd CODE ARG...")
	if code := execCode(ts, program("xferd"), args[1:]...); fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit %d, want %s", code, args[0])
	}
}

// farm N [FLAG...]   starts N daemons of the script's own, with these flags.
func cmdFarm(ts *testscript.TestScript, neg bool, args []string) {
	refuse(ts, neg, len(args) > 0, "farm N [FLAG...]")
	n := 0
	_, err := fmt.Sscanf(args[0], "%d", &n)
	ts.Check(err)
	w := worldOf(ts)
	dir, err := os.MkdirTemp(scratch, "f.") // the paths of sockets must be short
	ts.Check(err)
	ts.Defer(func() { os.RemoveAll(dir) })
	ts.Check(os.Chmod(dir, 0o755))
	w.farm = &farm{dir: dir, uid: w.uid}
	err = w.farm.start(n, args[1:]...)
	ts.Check(err)
	for i, d := range w.farm.daemons {
		ts.Setenv(fmt.Sprintf("d%d", i+1), d.data)
		ts.Setenv(fmt.Sprintf("s%d", i+1), d.server())
	}
	ts.Setenv("XFERCTL_SERVER", w.farm.daemons[0].server())
}

// as-nobody   lets the daemons of the farm run as another user.
func cmdAsNobody(ts *testscript.TestScript, neg bool, args []string) {
	refuse(ts, neg, len(args) == 0, "as-nobody")
	worldOf(ts).uid = 65534
}

// node kill|stop|start|freeze|thaw NAME   steers a daemon of the farm.
func cmdNode(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	refuse(ts, neg, len(args) == 2 && w.farm != nil, "node kill|stop|start|freeze|thaw NAME, after farm")
	d, err := w.farm.daemon(args[1])
	ts.Check(err)
	switch args[0] {
	case "kill":
		d.kill()
		err = d.health()
	case "stop":
		err = d.stop()
	case "start":
		err = w.farm.up(d)
	case "freeze":
		err = d.signal(syscall.SIGSTOP)
	case "thaw":
		err = d.signal(syscall.SIGCONT)
	default:
		err = fmt.Errorf("node %s?", args[0])
	}
	ts.Check(err)
}

// bg NAME ARG...   runs xferctl beside the script.
func cmdBackground(ts *testscript.TestScript, neg bool, args []string) {
	refuse(ts, neg, len(args) > 1, "bg NAME ARG...")
	p, err := start("xferctl", environ("XFERCTL_SERVER="+ts.Getenv("XFERCTL_SERVER")), program("xferctl"), args[1:]...)
	ts.Check(err)
	worldOf(ts).background[args[0]] = p
}

// signal SIGNAL NAME   sends a signal to what bg runs.
func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	refuse(ts, neg, len(args) == 2, "signal SIGNAL NAME")
	p := worldOf(ts).background[args[1]]
	s, ok := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP}[args[0]]
	if p == nil || !ok {
		ts.Fatalf("signal %s to %s?", args[0], args[1])
	}
	ts.Check(p.signal(s))
}

// shown NAME REGEXP   waits until what bg runs has shown something.
func cmdShown(ts *testscript.TestScript, neg bool, args []string) {
	refuse(ts, neg, len(args) == 2, "shown NAME REGEXP")
	p := worldOf(ts).background[args[0]]
	if p == nil {
		ts.Fatalf("nothing runs as %s", args[0])
	}
	re, err := regexp.Compile(args[1])
	ts.Check(err)
	shows := func() string { return p.stderr.String() + p.stdout.String() }
	if !poll(func() bool { return re.MatchString(shows()) }) {
		ts.Fatalf("%s does not show %q:\n%s", args[0], args[1], shows())
	}
}

// closed-stdout CODE ARG...   runs xferctl with a standard output that nobody
// reads. It must end with CODE and say nothing.
func cmdClosedStdout(ts *testscript.TestScript, neg bool, args []string) {
	refuse(ts, neg, len(args) > 1, "closed-stdout CODE ARG...")
	r, w, err := os.Pipe()
	ts.Check(err)
	ts.Check(r.Close())
	cmd := exec.Command(program("xferctl"), args[1:]...)
	var stderr buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = environ("XFERCTL_SERVER="+ts.Getenv("XFERCTL_SERVER")), w, &stderr
	_ = cmd.Run() // the state says it
	ts.Check(w.Close())
	if code := exitCode(cmd.ProcessState); fmt.Sprint(code) != args[0] || stderr.String() != "" {
		ts.Fatalf("exit %d, want %s; it says:\n%s", code, args[0], stderr.String())
	}
}

// ended CODE NAME   waits for the end of what bg runs; its output is that of
// this command.
func cmdEnded(ts *testscript.TestScript, neg bool, args []string) {
	refuse(ts, neg, len(args) == 2, "ended CODE NAME")
	p := worldOf(ts).background[args[1]]
	if p == nil {
		ts.Fatalf("nothing runs as %s", args[1])
	}
	code, err := p.wait()
	ts.Check(err)
	fmt.Fprint(ts.Stdout(), p.stdout.String())
	fmt.Fprint(ts.Stderr(), p.stderr.String())
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit %d, want %s\n%s%s", code, args[0], p.stdout.String(), p.stderr.String())
	}
}

// keep NAME   puts the last line that was printed, without spaces around it,
// into the variable NAME.
func cmdKeep(ts *testscript.TestScript, neg bool, args []string) {
	refuse(ts, neg, len(args) == 1, "keep NAME")
	lines := strings.Split(strings.TrimSpace(ts.ReadFile("stdout")), "\n")
	ts.Setenv(args[0], strings.TrimSpace(lines[len(lines)-1]))
}

func abs(ts *testscript.TestScript, names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = filepath.Clean(ts.MkAbs(n))
	}
	return out
}
