package lifecycle

import (
	"fmt"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transfer/scan"
)

// checkRegions refuses, before a transfer is stored, sources that are regions which
// are not there, or that do not have what is asked of them. One whose memory is not
// there now is waited for: the program that has it may come back.
func checkRegions(r scan.Regions, node transfer.NodeID, spec *transfer.Spec) error {
	if !spec.FromRegions() {
		return nil
	}
	open, err := scan.OpenSources(r, node, spec.Principal, spec.Pieces)
	if transfer.ReasonOf(err) == transfer.RegionDetached {
		return nil
	}
	if err != nil {
		return err
	}
	defer open.Close()
	for _, p := range spec.Pieces {
		id, ok := transfer.RegionOf(p.Path)
		if !ok {
			continue
		}
		size := open[id].Size()
		if p.Offset <= size && p.Length <= size-p.Offset {
			continue
		}
		return &transfer.Error{
			Reason: transfer.RegionRange, Side: transfer.SideSource, Phase: transfer.PhaseSubmit, Node: node, Path: p.Path,
			Err: fmt.Errorf("%d bytes from %d on are not all of the region's %d", p.Length, p.Offset, size),
		}
	}
	return nil
}
