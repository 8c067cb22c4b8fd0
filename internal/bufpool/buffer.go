package bufpool

import "sync/atomic"

// Buffer is a lease on a slab. References are counted: a holder that passes it
// on while keeping it calls Retain, and each holder calls Release once. The
// bytes may not be touched after the own reference was released.
type Buffer struct {
	pool  *Pool
	slab  []byte
	class int
	size  int
	refs  atomic.Int32
}

// Bytes returns the buffer, as long as it was asked for. The content is
// undefined at first.
func (b *Buffer) Bytes() []byte {
	if checked && b.refs.Load() <= 0 {
		panic("bufpool: buffer used after its release")
	}
	return b.slab[:b.size:b.size]
}

// Retain adds a reference.
func (b *Buffer) Retain() {
	if b.refs.Add(1) <= 1 {
		panic("bufpool: buffer retained after its release")
	}
}

// Release drops a reference; with the last one the slab goes back to the pool.
func (b *Buffer) Release() {
	switch n := b.refs.Add(-1); {
	case n == 0:
		b.pool.put(b)
	case n < 0:
		panic("bufpool: buffer released too often")
	}
}
