// Package blake3 is the hash BLAKE3, without a key and with 32 bytes of output,
// in plain Go: for digests that people compare with b3sum(1), not for speed.
package blake3

import (
	"encoding/binary"
	"hash"
	"math/bits"
)

const (
	// Size is the length of a digest, BlockSize that of a block, in bytes.
	Size      = 32
	BlockSize = 64

	chunkSize = 1024
	maxDepth  = 54 // of the tree: 2^64 bytes are 2^54 chunks

	chunkStart = 1 << 0
	chunkEnd   = 1 << 1
	parent     = 1 << 2
	root       = 1 << 3
)

// iv is that of SHA-256.
var iv = [8]uint32{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}

// order says which word of the block each round takes at each of its places.
var order = func() (o [7][16]uint8) {
	next := [16]uint8{2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8}
	for i := range 16 {
		o[0][i] = uint8(i)
	}
	for r := 1; r < len(o); r++ {
		for i := range 16 {
			o[r][i] = o[r-1][next[i]]
		}
	}
	return o
}()

// output is the last step of a chunk or of a parent, which is done when it is
// known whether it is the root.
type output struct {
	cv      [8]uint32
	block   [16]uint32
	counter uint64
	length  uint32
	flags   uint32
}

func (o *output) chain(extra uint32) [8]uint32 {
	return compress(&o.cv, &o.block, o.counter, o.length, o.flags|extra)
}

// digest is a running hash. A chunk is closed only when more comes after it,
// since the last one may be the root.
type digest struct {
	stack  [maxDepth][8]uint32 // of subtrees that are complete, largest first
	depth  int
	chunks uint64 // that are closed

	cv     [8]uint32 // of the current chunk
	blocks int       // of it that are compressed
	buf    [BlockSize]byte
	n      int // bytes in buf
}

// New returns a running hash.
func New() hash.Hash {
	d := new(digest)
	d.Reset()
	return d
}

func (d *digest) Size() int      { return Size }
func (d *digest) BlockSize() int { return BlockSize }

func (d *digest) Reset() { *d = digest{cv: iv} }

// Write never fails.
func (d *digest) Write(p []byte) (int, error) {
	size := len(p)
	for len(p) > 0 {
		if d.n == BlockSize { // and more comes
			if d.blocks == chunkSize/BlockSize-1 {
				d.closeChunk()
			} else {
				words := wordsOf(&d.buf)
				d.cv = compress(&d.cv, &words, d.chunks, BlockSize, d.start())
				d.blocks++
			}
			d.n = 0
		}
		n := copy(d.buf[d.n:], p)
		d.n += n
		p = p[n:]
	}
	return size, nil
}

func (d *digest) start() uint32 {
	if d.blocks == 0 {
		return chunkStart
	}
	return 0
}

// current is the last step of the current chunk.
func (d *digest) current() output {
	clear(d.buf[d.n:])
	return output{cv: d.cv, block: wordsOf(&d.buf), counter: d.chunks, length: uint32(d.n), flags: d.start() | chunkEnd}
}

// closeChunk joins the current chunk with the subtrees that it completes.
func (d *digest) closeChunk() {
	last := d.current()
	cv := last.chain(0)
	d.chunks++
	for n := d.chunks; n&1 == 0; n >>= 1 {
		d.depth--
		up := join(&d.stack[d.depth], &cv)
		cv = up.chain(0)
	}
	d.stack[d.depth] = cv
	d.depth++
	d.cv, d.blocks = iv, 0
}

// Sum appends the digest of what was written so far, which may go on.
func (d *digest) Sum(b []byte) []byte {
	out := d.current()
	for i := d.depth - 1; i >= 0; i-- {
		cv := out.chain(0)
		out = join(&d.stack[i], &cv)
	}
	out.counter = 0
	for _, w := range out.chain(root) {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}

// join is the last step of the parent of two subtrees.
func join(left, right *[8]uint32) output {
	o := output{cv: iv, length: BlockSize, flags: parent}
	copy(o.block[:8], left[:])
	copy(o.block[8:], right[:])
	return o
}

func wordsOf(b *[BlockSize]byte) (w [16]uint32) {
	for i := range w {
		w[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return w
}

func compress(cv *[8]uint32, m *[16]uint32, counter uint64, length, flags uint32) [8]uint32 {
	v := [16]uint32{
		cv[0], cv[1], cv[2], cv[3], cv[4], cv[5], cv[6], cv[7],
		iv[0], iv[1], iv[2], iv[3], uint32(counter), uint32(counter >> 32), length, flags,
	}
	for r := range order {
		o := &order[r]
		mix(&v[0], &v[4], &v[8], &v[12], m[o[0]&15], m[o[1]&15])
		mix(&v[1], &v[5], &v[9], &v[13], m[o[2]&15], m[o[3]&15])
		mix(&v[2], &v[6], &v[10], &v[14], m[o[4]&15], m[o[5]&15])
		mix(&v[3], &v[7], &v[11], &v[15], m[o[6]&15], m[o[7]&15])
		mix(&v[0], &v[5], &v[10], &v[15], m[o[8]&15], m[o[9]&15])
		mix(&v[1], &v[6], &v[11], &v[12], m[o[10]&15], m[o[11]&15])
		mix(&v[2], &v[7], &v[8], &v[13], m[o[12]&15], m[o[13]&15])
		mix(&v[3], &v[4], &v[9], &v[14], m[o[14]&15], m[o[15]&15])
	}
	return [8]uint32{
		v[0] ^ v[8], v[1] ^ v[9], v[2] ^ v[10], v[3] ^ v[11],
		v[4] ^ v[12], v[5] ^ v[13], v[6] ^ v[14], v[7] ^ v[15],
	}
}

func mix(a, b, c, d *uint32, x, y uint32) {
	*a += *b + x
	*d = bits.RotateLeft32(*d^*a, -16)
	*c += *d
	*b = bits.RotateLeft32(*b^*c, -12)
	*a += *b + y
	*d = bits.RotateLeft32(*d^*a, -8)
	*c += *d
	*b = bits.RotateLeft32(*b^*c, -7)
}
