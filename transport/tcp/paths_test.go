package tcp

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/xferd/xferd/internal/bufpool"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/transporttest"
)

// bytesFile writes n bytes to a file.
func bytesFile(t *testing.T, n int) (*os.File, []byte) {
	t.Helper()
	b := bytes.Repeat([]byte("0123456789abcdef~"), n/17+1)[:n]
	name := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, b
}

// move sends one extent per size, back to back from one file, and returns what
// both ends counted.
func move(t *testing.T, pool *bufpool.Pool, verify bool, sizes ...int) (source, target transport.Stats) {
	t.Helper()
	source, target, _ = moveBy(t, Config{Pool: pool}, fileSink{}, verify, sizes...)
	return source, target
}

// moveBy is move by a transport and into a sink of a given kind, and returns how
// much was written past the page cache.
func moveBy(t *testing.T, cfg Config, sink fileSink, verify bool, sizes ...int) (source, target transport.Stats, direct int64) {
	t.Helper()
	ln, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listener = ln
	tr, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tr.Run(ctx) }()
	defer func() { cancel(); <-done }()

	dir := sink.dir
	if dir == "" {
		dir = t.TempDir()
	}
	dst, err := os.CreateTemp(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	var chunks []*transport.Chunk
	total := 0
	for _, n := range sizes {
		total += n
	}
	src, want := bytesFile(t, total)
	if err := dst.Truncate(int64(total)); err != nil {
		t.Fatal(err)
	}
	sink.dst = dst
	at := int64(0)
	for i, n := range sizes {
		r := transport.Range{Offset: at, Length: int64(n)}
		chunks = append(chunks, &transport.Chunk{Seq: uint64(i), Extents: []transport.Extent{{
			ExtentHeader: transport.ExtentHeader{Entry: 1, Offset: at, Length: int64(n), Segments: []transport.Range{r}},
			Bodies:       []transport.Body{{File: src, FileOffset: at}},
		}}})
		at += int64(n)
	}
	id := transport.Edge{Epoch: 1}
	in, err := tr.Prepare(t.Context(), id, sink, transport.PrepareOptions{Streams: 4, ChunkSize: 64 << 20, Verify: verify})
	if err != nil {
		t.Fatal(err)
	}
	out, err := tr.Dial(t.Context(), id, in.Grant(), transport.DialOptions{Streams: 4, ChunkSize: 64 << 20, Verify: verify})
	if err != nil {
		t.Fatal(err)
	}
	f := transporttest.NewFeed(chunks...)
	if err := out.Run(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	f.Settled(t)
	in.Close()
	out.Close()
	got, err := io.ReadAll(io.NewSectionReader(dst, 0, int64(total)+1))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes arrived that are not the %d sent (%v)", len(got), total, err)
	}
	_, direct = tr.files.Bytes()
	return out.Stats(), in.Stats(), direct
}

// TestSendfile: large file segments leave by sendfile, all of them, and only
// they do.
func TestSendfile(t *testing.T) {
	for _, verify := range []bool{false, true} {
		pool := bufpool.New(64 << 20)
		src, dst := move(t, pool, verify, sendfileMin, 3<<20+17, sendfileMin-1, 9<<20)
		if want := int64(sendfileMin + 3<<20 + 17 + 9<<20); src.SendfileBytes != want || src.CopiedBytes != sendfileMin-1 {
			t.Errorf("verify %t: %d by sendfile, %d copied", verify, src.SendfileBytes, src.CopiedBytes)
		}
		if src.Bytes != dst.Bytes || src.Chunks != 4 || dst.Chunks != 4 {
			t.Errorf("%+v, %+v", src, dst)
		}
		if (src.HashTime > 0) != verify || (dst.HashTime > 0) != verify || dst.PlaceTime == 0 || dst.WireTime == 0 || src.WireTime == 0 {
			t.Errorf("verify %t: %+v, %+v", verify, src, dst)
		}
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestNoMemory: files are moved also when the pool is used up by others.
func TestNoMemory(t *testing.T) {
	for _, budget := range []int64{64 << 10, 128 << 10} {
		pool := bufpool.New(budget)
		lease, err := pool.Get(t.Context(), 64<<10)
		if err != nil {
			t.Fatal(err)
		}
		move(t, pool, true, 3<<20, 100<<10, 1)
		lease.Release()
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestLimitLowered: a limit that comes down in the middle of a chunk does not
// make the target take the source for stuck.
func TestLimitLowered(t *testing.T) {
	t.Parallel() // it waits, for a quarter of Stall
	tr, stop := node(t, Limits{Stall: 4 * time.Second})
	defer stop()
	dst, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	src, _ := bytesFile(t, 2<<20)
	id := transport.Edge{Epoch: 1}
	in, err := tr.Prepare(t.Context(), id, fileSink{dst: dst}, transport.PrepareOptions{Streams: 1, ChunkSize: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := tr.Dial(t.Context(), id, in.Grant(), transport.DialOptions{Streams: 1, MaxRate: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	r := transport.Range{Length: 2 << 20}
	f := transporttest.NewFeed(&transport.Chunk{Extents: []transport.Extent{{
		ExtentHeader: transport.ExtentHeader{Length: r.Length, Segments: []transport.Range{r}},
		Bodies:       []transport.Body{{File: src}},
	}}})
	done := make(chan error, 1)
	go func() { done <- out.Run(t.Context(), f) }()
	for in.Stats().Bytes == 0 {
		runtime.Gosched()
	}
	out.SetMaxRate(1)
	if err := <-done; err != nil {
		t.Error(err)
	}
	f.Settled(t)
}
