// Package needs says what a test does that cannot run where it is.
package needs

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// Env is set to 1 where every rig has to be there, as in CI.
const Env = "XFER_REQUIRE_RIGS"

// Required says whether a missing rig is a failure.
func Required() bool { return os.Getenv(Env) == "1" }

// Missing ends the test: with a skip that names what is missing, or, where rigs
// are required, as a failure. It does not return.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	why := fmt.Sprintf(format, args...)
	if Required() {
		t.Fatalf("%s, and %s=1", why, Env)
	}
	t.Skipf("SKIP %s: %s", t.Name(), why)
}

// Root ends the test unless it is root's.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "it needs root")
	}
}

// Program returns the path of a program, or ends the test.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, "%s is not installed (make deps)", name)
	}
	return path
}
