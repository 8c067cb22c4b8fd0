package e2e

import (
	"strings"
	"testing"
)

// A node that lets everybody in says so where its operator looks first.
func TestInsecureIsWarnedOf(t *testing.T) {
	t.Parallel()
	for _, insecure := range []bool{false, true} {
		var flags []string
		if insecure {
			flags = append(flags, "--insecure")
		}
		_, f := useFarm(t, 1, flags...)
		log := f.daemons[0].stderr.String()
		if warned := strings.Contains(log, "level=WARN") && strings.Contains(log, "can read and write all exports"); warned != insecure {
			t.Errorf("insecure is %v, and the log:\n%s", insecure, log)
		}
	}
}
