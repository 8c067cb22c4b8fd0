package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The kernel is asked to pace a stream once where there is a limit, and not at
// all where there is none.
func TestPacingIsAskedForOnce(t *testing.T) {
	t.Parallel()
	c, f := useFarm(t, 2)
	src := newTree(t, f.daemons[0].data).file("f", 4<<20)
	for name, want := range map[string]int{"none": 0, "limited": 2} {
		args := []string{"cp", "--streams", "2", "--chunk-size", "1MiB"}
		if want > 0 {
			args = append(args, "--bwlimit", "40MiB")
		}
		stop := traceCalls(t, f.daemons[0].pid(), "-e", "trace=setsockopt")
		c.ok(t, append(args, "n1:"+src, "n2:"+filepath.Join(f.daemons[1].data, name))...)
		out, err := os.ReadFile(stop())
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(string(out), "SO_MAX_PACING_RATE"); got != want {
			t.Errorf("%s: it was asked for %d times, want %d\n%s", name, got, want, out)
		}
	}
}
