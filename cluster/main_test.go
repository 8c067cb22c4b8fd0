package cluster

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain looks for leaked goroutines. memberlist's probes may outlive a
// shutdown by some probe intervals, so it looks again for a while.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		var err error
		for range 40 {
			if err = goleak.Find(); err == nil {
				break
			}
			time.Sleep(250 * time.Millisecond)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
