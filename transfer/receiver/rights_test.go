package receiver

import (
	"fmt"
	"os"
	"testing"
)

// noRig skips a test that this machine cannot run, or fails it where all of them
// have to run.
func noRig(t testing.TB, format string, args ...any) {
	t.Helper()
	why := fmt.Sprintf(format, args...)
	if os.Getenv("XFER_REQUIRE_RIGS") != "" {
		t.Fatal("XFER_REQUIRE_RIGS is set: ", why)
	}
	t.Skip("SKIP ", why)
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		noRig(t, "needs root")
	}
}
