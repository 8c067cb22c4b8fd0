package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// EnvWanted turns the lab on: with XFER_LAB=1, tests that need it boot machines.
// In the guest it is set too, see [Inside].
const EnvWanted = "XFER_LAB"

// EnvRequire is set to 1 where a rig that cannot run is an error.
const EnvRequire = "XFER_REQUIRE_RIGS"

// Wanted says whether tests may boot machines. It is the one switch: make lab
// sets XFER_LAB=1, and make test does for its last part.
func Wanted() bool { return os.Getenv(EnvWanted) == "1" }

// Inside says whether this process runs in the lab, and is to test there rather
// than to start it.
func Inside() bool { return os.Getenv(EnvRole) != "" }

// Require ends a test that boots machines where that is not wanted, or cannot be
// done: with a skip that says why, or, with XFER_REQUIRE_RIGS=1, as a failure.
// It prepares what a run needs, which takes long the first time.
func Require(t testing.TB) {
	t.Helper()
	switch {
	case Inside():
		t.Skip("this is the lab already")
	case !Wanted():
		t.Skip("needs the lab: make lab, or " + EnvWanted + "=1")
	}
	if _, err := prepare(context.Background(), t.Output()); err != nil {
		if os.Getenv(EnvRequire) == "1" {
			t.Fatalf("the lab cannot run here: %v", err)
		}
		t.Skipf("SKIP: the lab cannot run here: %v", err)
	}
}

// Prepare gets what a run needs, which takes long the first time. It fails where
// the lab cannot run.
func Prepare(ctx context.Context) error {
	_, err := prepare(ctx, os.Stderr)
	return err
}

// RequireInside skips a test that is for the guest where it is not there.
func RequireInside(t testing.TB) {
	t.Helper()
	if !Inside() {
		t.Skip("runs in the lab, which another test starts")
	}
}

// needed are the host's programs and files that a run uses, by Debian's packages.
var needed = []struct{ name, pkg string }{
	{qemu, "qemu-system-x86"}, {"busybox", "busybox-static"}, {"modprobe", "kmod"}, {"depmod", "kmod"}, {"xz", "xz-utils"},
	{"dpkg-deb", "dpkg"}, {"apt-get", "apt"}, {"ip", "iproute2"}, {"rdma", "iproute2"}, {"nft", "nftables"},
	{"ibv_devinfo", "ibverbs-utils"}, {"ib_write_bw", "perftest"}, {"/etc/libibverbs.d/rxe.driver", "ibverbs-providers"},
}

// missing says what this machine lacks.
func missing() error {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf("it needs Linux on amd64, not %s on %s", runtime.GOOS, runtime.GOARCH)
	}
	var names []string
	for _, n := range needed {
		var err error
		if filepath.IsAbs(n.name) {
			_, err = os.Stat(n.name)
		} else {
			var path string
			if path, err = lookTool(n.name); err == nil && n.name == "busybox" && !static(path) {
				err = os.ErrInvalid
			}
		}
		if err != nil {
			names = append(names, fmt.Sprintf("%s (package %s)", n.name, n.pkg))
		}
	}
	if len(names) > 0 {
		return fmt.Errorf("missing: %s; as root on Debian, scripts/deps.sh lab installs them", strings.Join(names, ", "))
	}
	return nil
}
