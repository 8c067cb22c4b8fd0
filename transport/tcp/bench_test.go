package tcp

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"

	"github.com/zeebo/xxh3"
	"golang.org/x/sys/unix"

	"github.com/xferd/xferd/transport"
)

// The benchmarks move one file of benchSize from memory to memory over
// loopback, into a file whose pages exist. Compare them side by side, with
// -count, on an otherwise idle machine; they report CPU time of both ends beside
// the rate.
const (
	benchSize  = 1 << 30
	benchChunk = 4 << 20
)

// benchFiles makes source and destination.
func benchFiles(b *testing.B) (src, dst *os.File) {
	b.Helper()
	buf := make([]byte, 4<<20)
	for i := range buf {
		buf[i] = byte(i * 7 >> 3)
	}
	for _, f := range []**os.File{&src, &dst} {
		var err error
		if *f, err = os.CreateTemp("/dev/shm", "xferd-bench"); err != nil {
			b.Skip(err)
		}
		os.Remove((*f).Name())
		for off := int64(0); off < benchSize; off += int64(len(buf)) {
			if _, err := (*f).WriteAt(buf, off); err != nil {
				b.Skip(err)
			}
		}
	}
	b.Cleanup(func() { src.Close(); dst.Close() })
	return src, dst
}

func cpu() float64 {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e6
}

func report(b *testing.B, from float64) {
	b.ReportMetric((cpu()-from)/(float64(b.N)*benchSize/1e9), "cpu-ms/GB")
}

// BenchmarkFile is the transport.
func BenchmarkFile(b *testing.B) {
	for streams := 1; streams <= 4; streams++ {
		b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) {
			tr, stop := node(b, Limits{})
			defer stop()
			src, dst := benchFiles(b)
			b.SetBytes(benchSize)
			b.ReportAllocs()
			b.ResetTimer()
			from := cpu()
			for range b.N {
				moveFile(b, tr, src, dst, streams)
			}
			report(b, from)
		})
	}
}

func moveFile(b *testing.B, tr *Transport, src, dst *os.File, streams int) {
	id := transport.Edge{Epoch: 1, UID: [16]byte{1}}
	in, err := tr.Prepare(b.Context(), id, fileSink{dst: dst}, transport.PrepareOptions{Streams: streams, ChunkSize: benchChunk, Verify: true})
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	out, err := tr.Dial(b.Context(), id, in.Grant(), transport.DialOptions{Streams: streams, ChunkSize: benchChunk, Verify: true})
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	if err := out.Run(b.Context(), &fileFeed{src: src}); err != nil {
		b.Fatal(err)
	}
	if st := in.Stats(); st.Bytes != benchSize || st.Mismatches > 0 {
		b.Fatalf("%+v", st)
	}
}

// fileFeed gives slices of one file.
type fileFeed struct {
	src  *os.File
	mu   sync.Mutex
	off  int64
	free []*transport.Chunk
}

func (f *fileFeed) Next(context.Context, int) (*transport.Chunk, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.off == benchSize {
		return nil, io.EOF
	}
	var c *transport.Chunk
	if n := len(f.free); n > 0 {
		c, f.free = f.free[n-1], f.free[:n-1]
	} else {
		c = &transport.Chunk{Extents: []transport.Extent{{
			ExtentHeader: transport.ExtentHeader{Length: benchChunk, Segments: make([]transport.Range, 1)},
			Bodies:       []transport.Body{{File: f.src}},
		}}}
	}
	c.Seq = uint64(f.off)
	e := &c.Extents[0]
	e.Offset, e.Bodies[0].FileOffset = f.off, f.off
	e.Segments[0] = transport.Range{Offset: f.off, Length: benchChunk}
	f.off += benchChunk
	return c, nil
}

func (f *fileFeed) Done(c *transport.Chunk, _ []transport.Verdict) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.free = append(f.free, c)
}

// fileSink lands everything in one file.
type fileSink struct {
	dir      string // where dst is made, where the sink does not bring it
	dst      *os.File
	unsynced bool
}

func (s fileSink) Place(_ context.Context, _ uint64, extents []transport.ExtentHeader) ([]transport.Landing, error) {
	l := make([]transport.Landing, len(extents))
	for i := range l {
		l[i].File, l[i].Unsynced = s.dst, s.unsynced
	}
	return l, nil
}

func (s fileSink) Landed(_ context.Context, _ uint64, arrivals []transport.Arrival) []transport.Verdict {
	v := make([]transport.Verdict, len(arrivals))
	for i := range v {
		v[i] = transport.Verdict{Code: arrivals[i].Code, Digest: arrivals[i].Digest, Err: arrivals[i].Err}
	}
	return v
}

// BenchmarkRaw is the same work in two plain loops over one blocking socket:
// read, hash, sendfile; receive, hash, pwrite. No frames, no answers.
func BenchmarkRaw(b *testing.B) {
	src, dst := benchFiles(b)
	ln, err := Listen(b.Context(), "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	b.SetBytes(benchSize)
	b.ResetTimer()
	from := cpu()
	for range b.N {
		var d net.Dialer
		c, err := d.DialContext(b.Context(), "tcp", ln.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		a, err := ln.Accept()
		if err != nil {
			b.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { rawSend(b, c.(*net.TCPConn), int(src.Fd())) })
		wg.Go(func() { rawReceive(b, a.(*net.TCPConn), int(dst.Fd())) })
		wg.Wait()
	}
	report(b, from)
}

const rawBlock = 1 << 20

func rawSend(b *testing.B, c *net.TCPConn, src int) {
	f, err := c.File() // blocking
	c.Close()
	if err != nil {
		b.Error(err)
		return
	}
	defer f.Close()
	fd := int(f.Fd())
	unix.SetNonblock(fd, false)
	h, buf := xxh3.New(), make([]byte, rawBlock)
	for off := int64(0); off < benchSize; {
		n, err := unix.Pread(src, buf, off)
		if err != nil || n != len(buf) {
			b.Error(n, err)
			return
		}
		h.Write(buf)
		for end := off + rawBlock; off < end; {
			if _, err := unix.Sendfile(fd, src, &off, int(end-off)); err != nil && err != unix.EINTR {
				b.Error(err)
				return
			}
		}
	}
}

func rawReceive(b *testing.B, c *net.TCPConn, dst int) {
	f, err := c.File()
	c.Close()
	if err != nil {
		b.Error(err)
		return
	}
	defer f.Close()
	fd := int(f.Fd())
	unix.SetNonblock(fd, false)
	h, buf := xxh3.New(), make([]byte, rawBlock)
	for off := int64(0); off < benchSize; {
		n, err := unix.Read(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			b.Error(n, err)
			return
		}
		h.Write(buf[:n])
		if _, err := unix.Pwrite(dst, buf[:n], off); err != nil {
			b.Error(err)
			return
		}
		off += int64(n)
	}
}
