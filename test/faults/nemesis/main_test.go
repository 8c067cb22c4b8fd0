package nemesis

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/test/needs"
)

var (
	seed   = flag.Uint64("nemesis.seed", 0, "of the script; 0: one of this moment")
	period = flag.Duration("nemesis.time", time.Minute, "how long the nemesis is at work")
)

// patience bounds every wait: nothing takes so long that is not broken. The longest
// that is waited for in good order is a back-off of 30 s after a silence of as much.
const patience = 2 * time.Minute

var (
	scratch string // in memory
	program string // xferd as it is released
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(all(m))
}

func all(m *testing.M) int {
	unix.Umask(0o022)
	// The tests wait much more than they work.
	if f := flag.Lookup("test.parallel"); f != nil && f.Value.String() == fmt.Sprint(runtime.GOMAXPROCS(0)) {
		_ = f.Value.Set("8")
	}
	sweep()
	var err error
	if scratch, err = os.MkdirTemp(memory(), "xnemesis."); err != nil {
		fmt.Fprintln(os.Stderr, "nemesis:", err)
		return 1
	}
	clean := func() {
		removeAll()
		os.RemoveAll(scratch)
	}
	defer clean()
	// As long as the process is there.
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	built := make(chan struct{})
	go func() { // ends with the process
		<-ctx.Done()
		<-built // else it would leave what it built
		clean()
		os.Exit(130)
	}()
	program = filepath.Join(scratch, "xferd")
	out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, "github.com/xferd/xferd/cmd/xferd").CombinedOutput()
	close(built)
	if err != nil {
		fmt.Fprintf(os.Stderr, "nemesis: go build: %v\n%s", err, out)
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

// rigged ends the test where its rig cannot be.
func rigged(t *testing.T) {
	t.Helper()
	needs.Root(t)
	for _, name := range []string{"ip", "nft", "tc", "ss"} {
		needs.Program(t, name)
	}
	if why := usable(); why != nil {
		needs.Missing(t, "no network namespaces with nftables here: %v", why)
	}
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
