package sender

import (
	"github.com/zeebo/xxh3"

	"github.com/xferd/xferd/transfer/plan"
	"github.com/xferd/xferd/transport"
)

// digestOf reads an extent for its digest. A copy inside one node that ends in
// memory has no other end that could hash what was sent: without this the bytes there
// would be compared with nothing.
func (e *Edge) digestOf(n *entry, x *plan.Extent) (transport.Digest, error) {
	var h xxh3.Hasher
	buf := make([]byte, min(x.Length, digestBuffer))
	for at, end := x.Offset, x.Offset+x.Length; at < end; {
		b := buf[:min(int64(len(buf)), end-at)]
		clear(b)
		if err := e.readExtent(n, at, b); err != nil {
			return transport.Digest{}, err
		}
		_, _ = h.Write(b)
		at += int64(len(b))
	}
	return h.Sum128().Bytes(), nil
}
