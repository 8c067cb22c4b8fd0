//go:build race || invariants

package bufpool

// checked builds find uses of a buffer after its release: its bytes are
// overwritten, and its lease is never used again.
const checked = true

func poison(slab []byte) {
	slab[0] = 0xDB
	for n := 1; n < len(slab); n *= 2 {
		copy(slab[n:], slab[:n])
	}
}

// fresh moves the slab to a new lease, so that the old one stays dead.
func fresh(b *Buffer) *Buffer {
	slab := b.slab
	b.slab = nil
	return &Buffer{pool: b.pool, slab: slab, class: b.class}
}
