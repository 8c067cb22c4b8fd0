package faults

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

var (
	full = flag.Bool("faults.full", false, "enumerate every crash point, not a sample")
	seed = flag.Uint64("faults.seed", 0, "of the sample; 0: one of this moment")
	rigs = flag.Int("faults.rigs", 8, "clusters side by side")
	only = flag.String("faults.only", "", "one plan, as a failure prints it")
)

// Where everything is.
var (
	scratch  string // in memory
	tagged   string // xferd with failpoints
	released string // xferd as it is released
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(all(m))
}

func all(m *testing.M) int {
	unix.Umask(0o022)
	var err error
	if scratch, err = os.MkdirTemp(memory(), "xfaults."); err == nil {
		defer os.RemoveAll(scratch)
		tagged = filepath.Join(scratch, "xferd")
		released = filepath.Join(scratch, "released")
		err = errors.Join(build(tagged, "failpoints"), build(released, ""))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		return 1
	}
	return m.Run()
}

func memory() string {
	var st unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &st); err == nil && st.Bavail*uint64(st.Bsize) > 1<<30 {
		return "/dev/shm"
	}
	return ""
}

// build builds xferd.
func build(to, tags string) error {
	out, err := exec.Command("go", "build", "-tags", tags, "-o", to, "github.com/xferd/xferd/cmd/xferd").CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

func newDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, "r")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
