package e2e

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xferd/xferd/test/lab"
)

// What needs RDMA devices runs in the lab (docs/lab.md), with one boot for all
// that one machine is enough for: the driver's suite, the transport's, and the
// daemons here, in tests named TestOneMachine.
func TestLabOneMachine(t *testing.T) {
	lab.RunSuites(t, lab.Job{Timeout: 15 * time.Minute, Env: inLab(t)},
		lab.Suite{Pkg: "../../rdma", Run: "^TestReal"},
		lab.Suite{Pkg: "../../transport/verbs", Run: "^TestReal", Flags: []string{"-test.short"}},
		lab.Suite{Run: "^TestOneMachine"})
}

// What is between two machines is in tests named TestTwoMachines. Both run them.
func TestLabTwoMachines(t *testing.T) {
	lab.RunSuites(t, lab.Job{VMs: 2, Timeout: 10 * time.Minute, MemoryMiB: 3072, Env: inLab(t)}, lab.Suite{Run: "^TestTwoMachines"})
}

// inLab puts the programs where the lab sees them.
func inLab(t *testing.T) []string {
	t.Helper()
	lab.Require(t)
	dir := t.TempDir()
	examples := must(buildExamples())(t)
	for _, from := range []string{program("xferd"), program("xferctl"), filepath.Join(examples, "paramserver"), filepath.Join(examples, "stencil")} {
		if err := copyProgram(from, filepath.Join(dir, filepath.Base(from))); err != nil {
			t.Fatal(err)
		}
	}
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"XFER_E2E_BIN=" + dir, envGoroot + "=" + strings.TrimSpace(string(goroot))}
	if size := os.Getenv(envFaultSize); size != "" {
		env = append(env, envFaultSize+"="+size)
	}
	return env
}

func copyProgram(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(dst, src); err != nil {
		_ = dst.Close()
		return err
	}
	return dst.Close()
}
