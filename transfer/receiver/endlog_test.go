package receiver

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/xferd/xferd/transfer"
)

// TestEndInTheLog: it says who is lost, and of what published nothing that it did not.
func TestEndInTheLog(t *testing.T) {
	for name, c := range map[string]struct {
		end       ending
		dry, only bool
		want, not string
	}{
		"owner lost":   {ending{how: endLost, err: context.Canceled}, false, false, `how=lost error="the owner n1 is lost`, "context canceled"},
		"finished":     {ending{how: endFinished}, false, false, "how=finished published=7", "would"},
		"dry run":      {ending{how: endFinished}, true, false, "would_publish=7", " published"},
		"verification": {ending{how: endFinished}, true, true, "different=7", "publish"},
		"failed there": {ending{how: endCancelled}, false, false, `how="given up"`, "cancelled"},
	} {
		var log strings.Builder
		e := &edge{log: slog.New(slog.NewTextHandler(&log, nil)), m: &transfer.Open{Owner: "n1"}, opt: &rules{}, published: 7}
		e.opt.DryRun, e.opt.verify = c.dry, c.only
		e.logEnd(&c.end)
		if got := log.String(); !strings.Contains(got, c.want) || strings.Contains(got, c.not) {
			t.Errorf("%s: %s", name, got)
		}
	}
}
