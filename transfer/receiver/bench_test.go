package receiver

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/zeebo/xxh3"

	"github.com/xferd/xferd/transfer"
	"github.com/xferd/xferd/transport"
)

// BenchmarkSmallFiles publishes 15,000 files of 18 KB in 1,500 directories: the
// target's share of copying a Go installation.
func BenchmarkSmallFiles(b *testing.B) {
	for _, d := range []transfer.Durability{transfer.DurabilityFull, transfer.DurabilityNone} {
		b.Run(string(d), func(b *testing.B) {
			tmp, err := os.MkdirTemp("/dev/shm", "xferd")
			if err != nil {
				b.Skip(err)
			}
			defer os.RemoveAll(tmp)
			for _, p := range []string{"tree", "state"} {
				if err := os.Mkdir(tmp+"/"+p, 0o700); err != nil {
					b.Fatal(err)
				}
			}
			g := newRigAt(b, tmp+"/tree", tmp+"/state")
			data := pattern(18_000, 1)
			for i := range b.N {
				m := g.request(fmt.Sprint("d", i), func(m *transfer.Open) { m.Options.Durability = d })
				smallFiles(b, g, m, data)
				b.StopTimer()
				os.RemoveAll(g.path(fmt.Sprint("d", i)))
				b.StartTimer()
			}
		})
	}
}

func smallFiles(b *testing.B, g *rig, m *transfer.Open, data []byte) {
	const dirs, files = 1500, 10
	o := g.dial(m)
	digest := transport.Digest(xxh3.Hash128(data).Bytes())
	todo := make(chan []transport.Arrival, 64)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for chunk := range todo {
				headers := make([]transport.ExtentHeader, len(chunk))
				for i := range chunk {
					headers[i] = chunk[i].ExtentHeader
				}
				if _, err := o.sink().Place(o.ctx, 1, headers); err != nil {
					b.Error(err)
				}
				for _, v := range o.sink().Landed(o.ctx, 1, chunk) {
					if v.Code != transport.Placed {
						b.Errorf("%+v", v)
					}
				}
			}
		})
	}
	go func() {
		list := []source{dir(root, "")}
		n := uint64(1)
		for d := range dirs {
			at := n
			list = append(list, dir(0, fmt.Sprint("dir", d)))
			n++
			for f := range files {
				s := regular(at, fmt.Sprint("file", f), nil)
				s.Size = int64(len(data))
				list = append(list, s)
				n++
			}
			list = append(list, endDir(at))
			n++
			if len(list) > 1000 || d == dirs-1 {
				o.await("credit", func() bool { return n-uint64(len(o.results)) < DefaultCredits })
				o.mu.Lock()
				o.announce(list...)
				o.mu.Unlock()
				list = nil
			}
		}
	}()
	got := 0
	for got < dirs*files {
		var chunk []transport.Arrival
		o.await("answers", func() bool {
			for n := range o.answers {
				delete(o.answers, n)
				chunk = append(chunk, transport.Arrival{
					ExtentHeader: transport.ExtentHeader{Entry: n, Length: int64(len(data)), Segments: []transport.Range{{Length: int64(len(data))}}, Final: true},
					Code:         transport.Placed, Digest: digest, Mem: data,
				})
				if len(chunk) == 200 {
					break
				}
			}
			return len(chunk) > 0
		})
		got += len(chunk)
		todo <- chunk
	}
	close(todo)
	wg.Wait()
	o.await("results", func() bool { return len(o.results) == 1+dirs*(files+2) })
	if fin := o.finish(); fin.Err != nil {
		b.Fatal(fin.Err)
	}
}
