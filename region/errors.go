package region

import (
	"errors"

	"github.com/xferd/xferd/internal/store"
)

// What can be wrong; an [Error] wraps one of them.
var (
	ErrNotFound    = errors.New("there is no such region")
	ErrExists      = errors.New("the name is taken")
	ErrBusy        = errors.New("the region is in use")
	ErrDetached    = errors.New("the memory of the region is not here")
	ErrRange       = errors.New("a range is not inside the region")
	ErrBudget      = errors.New("a limit of regions is reached")
	ErrNoMemory    = errors.New("the memory can not be had")
	ErrQuarantined = errors.New("the region is quarantined: its memory could not be fenced")
	ErrFD          = errors.New("the descriptor is not of memory that can be a region")
	ErrGone        = errors.New("the region is being deleted")
	ErrInvalid     = errors.New("the request is not valid")
	ErrDenied      = errors.New("permission denied")
	ErrUnsupported = errors.New("this node can not do that")
	ErrCompacted   = errors.New("what was asked for is not remembered any more")
	ErrClosed      = errors.New("the node is shutting down")
)

// Error says what is wrong with which region. Its text is for people.
type Error struct {
	Kind   error  // one of the above
	ID     string // of the region; may be empty
	Field  string // of [Spec], where that is not valid
	Holder string // with ErrBusy: the transfer that has the range open
	Err    error  // more about it; may be nil
}

func (e *Error) Error() string {
	s := e.Kind.Error()
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.ID != "" {
		s = "region " + e.ID + ": " + s
	}
	return s
}

func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// Reason returns the name of an error of a Registry in the table of reasons of the API,
// "" for errors that have none there.
func Reason(err error) string {
	for _, r := range reasons {
		if errors.Is(err, r.kind) {
			return r.name
		}
	}
	return ""
}

var reasons = []struct {
	kind error
	name string
}{
	{ErrNotFound, "REGION_NOT_FOUND"},
	{ErrExists, "REGION_EXISTS"},
	{ErrBusy, "REGION_BUSY"},
	{ErrDetached, "REGION_DETACHED"},
	{ErrRange, "REGION_RANGE"},
	{ErrBudget, "REGION_LIMIT"},
	{ErrNoMemory, "REGION_NO_MEMORY"},
	{ErrQuarantined, "REGION_QUARANTINED"},
	{ErrFD, "REGION_FD"},
	{ErrGone, "REGION_GONE"},
	{ErrInvalid, "INVALID_SPEC"},
	{ErrDenied, "PERMISSION_DENIED"},
	{ErrUnsupported, "UNSUPPORTED"},
	{ErrCompacted, "COMPACTED"},
	{ErrClosed, "NODE_STOPPING"},
	{store.ErrClosed, "NODE_STOPPING"},
	{store.ErrNoSpace, "STATE_NO_SPACE"},
}
