//go:build failpoints

package failpoint

import (
	"fmt"
	"os"
	"syscall"
)

// On says whether the program was built with failpoints.
const On = true

var points = open()

func open() *set {
	s, err := parse(os.Getenv(Plan))
	if err == nil && os.Getenv(Trace) != "" {
		s.trace, err = os.OpenFile(os.Getenv(Trace), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "failpoint:", err)
		os.Exit(2)
	}
	s.die = func() {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until it arrives
	}
	return s
}

// Hit passes a point. It does not return where the process is to die there. The
// points of all goroutines have one order; behind one that kills nothing passes
// any more.
func Hit(name string) { points.hit(name) }
