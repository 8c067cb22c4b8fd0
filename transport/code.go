package transport

import (
	"errors"
	"fmt"
)

// Errors that go with the codes of the same name, in arrivals and verdicts.
// Transports may wrap them.
var (
	ErrMismatch     = errors.New("the bytes that arrived do not have the digest that was sent")
	ErrSourceShort  = errors.New("the source ended before the extent did")
	ErrSourceFailed = errors.New("reading the source failed")
)

// ErrUnfenced is an edge that ended while a device would not give memory back: it
// may be read or written by the device at any time, and must be kept as it is.
var ErrUnfenced = errors.New("a device did not give memory back")

// ErrStaleEpoch refuses an edge whose epoch is older than one prepared before.
var ErrStaleEpoch = errors.New("stale epoch")

func (c Code) String() string {
	switch c {
	case Unknown:
		return "unknown"
	case Placed:
		return "placed"
	case Mismatch:
		return "mismatch"
	case SourceShort:
		return "source short"
	case SourceFailed:
		return "source failed"
	case Refused:
		return "refused"
	}
	return fmt.Sprintf("code %d", uint8(c))
}
