package node

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/xferd/xferd/api/client"
	xferv1 "github.com/xferd/xferd/api/xfer/v1"
	"github.com/xferd/xferd/cluster"
	"github.com/xferd/xferd/cmd/xferd/internal/config"
	"github.com/xferd/xferd/rdma"
)

// pair is two nodes in this process, each exporting dir/<name>.
type pair struct {
	dir    string
	client *client.Client
	nodes  []*Node
	stop   []func() // of each node: it leaves the cluster
}

// newPair starts both, with the RDMA of each, or that of the machine.
func newPair(tb testing.TB, dir string, fabrics ...*rdma.System) *pair {
	tb.Helper()
	p := &pair{dir: dir}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	tb.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	for i := range 2 {
		c := config.Default()
		c.Name, c.Cluster = fmt.Sprintf("n%d", i+1), "test"
		c.Listen = config.Listen{Control: "127.0.0.1:0", Data: "127.0.0.1:0", Gossip: "127.0.0.1:0"}
		c.StateDir = filepath.Join(dir, c.Name+".state")
		data := filepath.Join(dir, c.Name)
		if err := os.MkdirAll(data, 0o755); err != nil {
			tb.Fatal(err)
		}
		c.Exports = []config.Export{{Path: data, Mode: "rw"}}
		if i > 0 {
			c.Join = []string{p.nodes[0].GossipAddr()}
		}
		o := Options{Log: slog.New(slog.DiscardHandler), Version: "test", Gossip: cluster.Local}
		if len(fabrics) > 0 {
			o.RDMA = fabrics[i]
		}
		n, err := New(ctx, c, o)
		if err != nil {
			tb.Fatal(err)
		}
		p.nodes = append(p.nodes, n)
		life, stop := context.WithCancel(ctx)
		p.stop = append(p.stop, stop)
		wg.Go(func() {
			defer stop()
			if err := n.Run(life); err != nil {
				tb.Error(err)
			}
		})
	}
	for _, n := range p.nodes {
		wait, stop := context.WithTimeout(ctx, patience)
		if err := n.WaitJoined(wait, 2); err != nil {
			tb.Fatal(err)
		}
		stop()
	}
	c, err := client.Dial(p.nodes[0].ControlAddr(), client.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	p.client = c
	return p
}

func (p *pair) copy(tb testing.TB, name, as string) *xferv1.Transfer {
	tb.Helper()
	ctx := context.Background()
	t, err := p.client.Submit(ctx, "", client.Copy("n1", filepath.Join(p.dir, "n1", name), "n2", filepath.Join(p.dir, "n2", as)))
	if err != nil {
		tb.Fatal(err)
	}
	done, err := p.client.Wait(ctx, t.GetName())
	if err == nil {
		err = client.TransferError(done)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return done
}

func TestCopyBetweenTwoNodes(t *testing.T) {
	dir := t.TempDir()
	p := newPair(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "n1", "f"), []byte("content"), 0o640); err != nil {
		t.Fatal(err)
	}
	done := p.copy(t, "f", "g")
	if got := done.GetDataPath().GetTransport(); got != "tcp" {
		t.Errorf("two nodes used %s", got)
	}
	b, err := os.ReadFile(filepath.Join(dir, "n2", "g"))
	if err != nil || string(b) != "content" {
		t.Errorf("copied %q, %v", b, err)
	}
}

// BenchmarkTree and BenchmarkFile run both ends in one process, for profiles:
// go test -run - -bench Tree -cpuprofile cpu.out ./cmd/xferd/internal/node
func BenchmarkTree(b *testing.B) {
	dir, err := os.MkdirTemp("/dev/shm", "xferd-node.")
	if err != nil {
		b.Skip("no tmpfs at /dev/shm: ", err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	p := newPair(b, dir)
	rng := rand.New(rand.NewPCG(1, 2))
	const files = 15000
	var bytes int64
	for i := range files {
		d := filepath.Join(dir, "n1", "tree", fmt.Sprint(i/12))
		if i%12 == 0 {
			if err := os.MkdirAll(d, 0o755); err != nil {
				b.Fatal(err)
			}
		}
		size := int(rng.ExpFloat64() * 18000)
		bytes += int64(size)
		if err := os.WriteFile(filepath.Join(d, fmt.Sprint(i)), make([]byte, size), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(bytes)
	for i := 0; b.Loop(); i++ {
		p.copy(b, "tree", fmt.Sprint("copy", i))
		b.StopTimer()
		os.RemoveAll(filepath.Join(dir, "n2", fmt.Sprint("copy", i)))
		b.StartTimer()
	}
}

func BenchmarkFile(b *testing.B) {
	dir, err := os.MkdirTemp("/dev/shm", "xferd-node.")
	if err != nil {
		b.Skip("no tmpfs at /dev/shm: ", err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	p := newPair(b, dir)
	const size = 1 << 30
	f, err := os.Create(filepath.Join(dir, "n1", "file"))
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.NewChaCha8([32]byte{})
	buf := make([]byte, 1<<20)
	for range size / len(buf) {
		_, _ = rng.Read(buf)
		if _, err := f.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	for i := 0; b.Loop(); i++ {
		p.copy(b, "file", fmt.Sprint("copy", i))
		b.StopTimer()
		os.RemoveAll(filepath.Join(dir, "n2", fmt.Sprint("copy", i)))
		b.StartTimer()
	}
}
