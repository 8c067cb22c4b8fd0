//go:build !race && !invariants

package bufpool

const checked = false

func poison([]byte) {}

func fresh(b *Buffer) *Buffer { return b }
