package store

import (
	"fmt"
	"testing"
)

func BenchmarkUpdate(b *testing.B) {
	for _, place := range []struct {
		name string
		dir  func(testing.TB) string
	}{{"memory", memDir}, {"disk", func(t testing.TB) string { return t.TempDir() }}} {
		b.Run(place.name, func(b *testing.B) {
			s := mustOpen(b, place.dir(b))
			tab := NewTable[record](s, "t")
			i := 0
			for b.Loop() {
				i++
				err := s.Update(b.Context(), func(tx *Tx) error {
					return tab.Put(tx, fmt.Sprintf("%08d", i%1000), record{"some name of a usual length", i})
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(place.name+"-32", func(b *testing.B) {
			s := mustOpen(b, place.dir(b))
			tab := NewTable[record](s, "t")
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					err := s.Update(b.Context(), func(tx *Tx) error {
						return tab.Put(tx, fmt.Sprintf("%08d", i%1000), record{"some name of a usual length", i})
					})
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

func BenchmarkGet(b *testing.B) {
	s := mustOpen(b, memDir(b))
	tab := NewTable[record](s, "t")
	if err := s.Update(b.Context(), func(tx *Tx) error { return tab.Put(tx, "a", record{"name", 1}) }); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, _, err := tab.Get("a"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{64, 4096, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := mustOpen(b, memDir(b))
			l, err := s.CreateLog(Owner, "u", "l")
			if err != nil {
				b.Fatal(err)
			}
			p := make([]byte, size)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := l.Append(1, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendSync(b *testing.B) {
	for _, place := range []struct {
		name string
		dir  func(testing.TB) string
	}{{"memory", memDir}, {"disk", func(t testing.TB) string { return t.TempDir() }}} {
		b.Run(place.name, func(b *testing.B) {
			s := mustOpen(b, place.dir(b))
			l, err := s.CreateLog(Owner, "u", "l")
			if err != nil {
				b.Fatal(err)
			}
			p := make([]byte, 4096)
			for b.Loop() {
				if _, err := l.Append(1, p); err != nil {
					b.Fatal(err)
				}
				if err := l.Sync(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
