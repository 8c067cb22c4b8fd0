package transfer

import (
	"errors"

	"github.com/xferd/xferd/region"
)

// RegionError gives an error of a region its reason. An Error stays as it is.
func RegionError(err error, side Side, phase Phase, node NodeID, id string) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	e := &Error{Reason: Internal, Side: side, Phase: phase, Node: node, Path: RegionPath(id), Err: err}
	if name := region.Reason(err); name != "" {
		e.Reason = Reason(name)
	}
	switch e.Reason {
	case RegionDetached:
		e.Hint = "it goes on when the program that has the memory is attached again"
	case RegionQuarantined:
		e.Hint = "delete the region and make another one; its memory is given back when xferd ends"
	case RegionBusy:
		e.Hint = "wait for the transfer that writes there, or cancel it"
	case RegionNotFound:
		e.Hint = "xferctl regions ls shows those that there are"
	}
	return e
}
