package e2e

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Where the programs and everything that tests write are, set by TestMain.
var (
	binDir  string
	scratch string // in memory, where the machine has that
)

func TestMain(m *testing.M) {
	// Most of these tests wait: for a throttled copy, for a daemon to stop. More
	// of them than there are processors may run side by side.
	side := flag.Lookup("test.parallel")
	few := side.Value.String()
	flag.Parse()
	if n := 2 * runtime.GOMAXPROCS(0); side.Value.String() == few {
		_ = side.Value.Set(strconv.Itoa(n))
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	unix.Umask(0o022)
	var err error
	// Short names: the path of a unix socket has at most 107 bytes.
	if scratch, err = os.MkdirTemp(memory(), "xe2e."); err == nil {
		defer os.RemoveAll(scratch)
		err = errors.Join(os.Chmod(scratch, 0o755), build()) // some daemons run as another user
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	code := m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: the shared cluster:", err)
		code = max(code, 1)
	}
	return code
}

// memory is a directory on a file system in memory, so that syncing costs
// nothing; or the usual one for temporary files.
func memory() string {
	var st unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &st); err == nil && st.Bavail*uint64(st.Bsize) > 2<<30 {
		return "/dev/shm"
	}
	return ""
}

// build builds the programs; XFER_E2E_RACE=1 builds them with the race detector.
// XFER_E2E_BIN names a directory that has them already.
func build() error {
	if binDir = os.Getenv("XFER_E2E_BIN"); binDir != "" {
		return nil
	}
	binDir = filepath.Join(scratch, "bin")
	args := []string{"build", "-o", binDir + "/"}
	if os.Getenv("XFER_E2E_RACE") == "1" {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "github.com/xferd/xferd/cmd/xferd", "github.com/xferd/xferd/cmd/xferctl")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

func program(name string) string { return filepath.Join(binDir, name) }

// newDir makes a directory under scratch that the end of the test removes.
func newDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, "t.")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// environ is the environment of the programs under test: nothing of the
// developer's settings.
func environ(more ...string) []string {
	env := []string{"HOME=" + scratch, "TMPDIR=" + scratch, "PATH=" + binDir + ":" + os.Getenv("PATH")}
	for _, kv := range os.Environ() {
		if strings.HasPrefix(kv, "GORACE=") {
			env = append(env, kv)
		}
	}
	return append(env, more...)
}
