package transfer

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/xferd/xferd/region"
)

func TestRegionErrorsHaveReasons(t *testing.T) {
	for kind, want := range map[error]Reason{
		region.ErrNotFound: RegionNotFound, region.ErrExists: RegionExists, region.ErrBusy: RegionBusy,
		region.ErrDetached: RegionDetached, region.ErrRange: RegionRange, region.ErrBudget: RegionLimit,
		region.ErrNoMemory: RegionNoMemory, region.ErrQuarantined: RegionQuarantined, region.ErrFD: RegionFD,
		region.ErrGone: RegionGone, region.ErrInvalid: InvalidSpec, region.ErrDenied: PermissionDenied,
		region.ErrUnsupported: Unsupported, region.ErrCompacted: Compacted, region.ErrClosed: NodeStopping,
	} {
		err := RegionError(fmt.Errorf("so: %w", &region.Error{Kind: kind, ID: "x"}), SideTarget, PhaseWrite, "n1")
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Reason != want || e.Path != "@x" || e.Node != "n1" || !errors.Is(err, kind) {
			t.Errorf("%v: %v", kind, err)
		}
	}
	own := &Error{Reason: Stalled}
	if err := RegionError(own, SideTarget, PhaseWrite, "n1"); err != error(own) {
		t.Errorf("an error that has a reason: %v", err)
	}
	if err := RegionError(io.EOF, SideTarget, PhaseWrite, "n1"); err != io.EOF {
		t.Errorf("an error of others: %v", err)
	}
	if err := RegionError(nil, SideTarget, PhaseWrite, "n1"); err != nil {
		t.Errorf("no error: %v", err)
	}
}
