package lifecycle

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/xferd/xferd/transfer"
)

// What failed is a warning, what ended as asked is none.
func TestLevelOfTheEnd(t *testing.T) {
	for state, level := range map[transfer.State]string{
		transfer.StateFailed: "WARN", transfer.StatePartial: "WARN",
		transfer.StateSucceeded: "INFO", transfer.StateCancelled: "INFO", transfer.StatePaused: "INFO",
	} {
		var log bytes.Buffer
		j := &job{e: &Engine{cfg: Config{Log: slog.New(slog.NewTextHandler(&log, nil))}}}
		j.t.State = state
		j.logStep(transfer.StateRunning)
		if !strings.Contains(log.String(), "level="+level+" ") {
			t.Errorf("%s: %s", state, &log)
		}
	}
}
