package transfer

import (
	"errors"

	"github.com/xferd/xferd/region"
)

// RegionError gives an error of package region its reason. Others are returned as
// they are; nil stays nil.
func RegionError(err error, side Side, phase Phase, node NodeID) error {
	if err == nil {
		return nil
	}
	reason := Reason(region.Reason(err))
	if _, typed := errors.AsType[*Error](err); typed || reason == ReasonNone {
		return err
	}
	e := &Error{Reason: reason, Side: side, Phase: phase, Node: node, Err: err}
	if r, ok := errors.AsType[*region.Error](err); ok && r.ID != "" {
		e.Path = RegionPath(r.ID)
	}
	switch reason {
	case RegionNotFound:
		e.Hint = "«xferctl regions ls» lists those that the caller may use"
	case RegionDetached:
		e.Hint = "the program that has the memory attaches again, and it is there"
	case RegionBusy:
		e.Hint = "wait for the transfer, or cancel it"
	case RegionLimit:
		e.Hint = "delete regions, or raise regions.memory, per_principal or count of the node"
	case RegionFD:
		e.Hint = "offer a memfd of the region's size with the seals F_SEAL_SHRINK and F_SEAL_GROW"
	}
	return e
}
