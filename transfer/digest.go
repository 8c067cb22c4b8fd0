package transfer

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"

	"github.com/xferd/xferd/transport"
)

// FileDigest returns the digest of a whole file: XXH3-128 over "xferd1", the
// chunk size and the file's size (8 bytes each, little-endian) and the digests
// of its extents in the order of their offsets. It can so be had without
// reading the file in order, and differs between chunk sizes. Where an extent
// has no digest the file has none: the zero value.
func FileDigest(chunkSize, size int64, extents []transport.Digest) transport.Digest {
	var h xxh3.Hasher
	var head [22]byte
	copy(head[:], "xferd1")
	binary.LittleEndian.PutUint64(head[6:], uint64(chunkSize))
	binary.LittleEndian.PutUint64(head[14:], uint64(size))
	_, _ = h.Write(head[:])
	for i := range extents {
		if extents[i].IsZero() {
			return transport.Digest{}
		}
		_, _ = h.Write(extents[i][:])
	}
	return h.Sum128().Bytes()
}
