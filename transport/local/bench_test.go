package local

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/transport/transporttest"
)

// BenchmarkIntoMemory: the ways from one memfd to the mapping of another.
func BenchmarkIntoMemory(b *testing.B) {
	const n = 64 << 20
	src, dst := transporttest.NewRegion(b, n), transporttest.NewRegion(b, n)
	for _, x := range []struct {
		name string
		move func(off, n int) error
	}{
		{"copy", func(off, n int) error { copy(dst.Mem[off:off+n], src.Mem[off:off+n]); return nil }},
		{"pread", func(off, n int) error { _, err := src.File.ReadAt(dst.Mem[off:off+n], int64(off)); return err }},
		{"pwrite", func(off, n int) error { _, err := dst.File.WriteAt(src.Mem[off:off+n], int64(off)); return err }},
		{"copy_file_range", func(off, n int) error {
			from, to := int64(off), int64(off)
			for n > 0 {
				m, err := unix.CopyFileRange(int(src.File.Fd()), &from, int(dst.File.Fd()), &to, n, 0)
				if err != nil {
					return err
				}
				n -= m
			}
			return nil
		}},
	} {
		b.Run(x.name, func(b *testing.B) {
			b.SetBytes(n)
			for b.Loop() {
				for off := 0; off < n; off += plainStep {
					if err := x.move(off, plainStep); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
