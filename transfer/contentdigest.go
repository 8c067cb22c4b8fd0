package transfer

import (
	"crypto/sha256"
	"hash"

	"github.com/zeebo/blake3"
	"github.com/zeebo/xxh3"
)

// DigestKind is a digest over the bytes of a whole file, in their order, that
// others compute as well. Empty is none. It is not [FileDigest], which can be had
// without reading a file in order and is ours alone.
type DigestKind string

const (
	DigestSHA256 DigestKind = "sha256"
	DigestBLAKE3 DigestKind = "blake3"
	DigestXXH3   DigestKind = "xxh3" // XXH3-128, most significant byte first
)

// New returns a hash of that kind; nil where k is none.
func (k DigestKind) New() hash.Hash {
	switch k {
	case DigestSHA256:
		return sha256.New()
	case DigestBLAKE3:
		return blake3.New()
	case DigestXXH3:
		return new(xxh128)
	}
	return nil
}

// Size is the length of a digest of that kind in bytes; 0 where k is none.
func (k DigestKind) Size() int {
	switch k {
	case DigestSHA256, DigestBLAKE3:
		return 32
	case DigestXXH3:
		return 16
	}
	return 0
}

// MaxDigest is the length of the longest digest.
const MaxDigest = 32

// xxh128 is the 128-bit form of a hash that is a hash.Hash of 64 bits.
type xxh128 struct{ xxh3.Hasher }

func (h *xxh128) Size() int { return 16 }

func (h *xxh128) Sum(b []byte) []byte {
	d := h.Sum128().Bytes()
	return append(b, d[:]...)
}
