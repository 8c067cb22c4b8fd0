//go:build race || invariants

package bufpool

// checked builds find uses of a buffer after its release: its bytes are
// overwritten, and its lease is never used again.
const checked = true

func poison(slab []byte) {
	for i := range slab {
		slab[i] = 0xDB
	}
}

// fresh moves the slab to a new lease, so that the old one stays dead.
func fresh(b *Buffer) *Buffer {
	slab := b.slab
	b.slab = nil
	return &Buffer{pool: b.pool, slab: slab, class: b.class}
}
