package manifest

import (
	"fmt"

	"github.com/xferd/xferd/transfer"
)

// DecodeUnchecked is DecodeEntry without CheckEntry: it refuses only bytes that
// no encoder wrote. It is for a receiver that wants to refuse a bad entry alone,
// and not all that came with it; whoever uses it calls CheckEntry.
func DecodeUnchecked(b []byte) (e transfer.Entry, rest []byte, err error) {
	d := decoder{b: b}
	decodeEntry(&d, &e)
	if d.err != nil {
		return transfer.Entry{}, nil, fmt.Errorf("entry: %w", d.err)
	}
	return e, d.b, nil
}
