package local

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/xferd/xferd/test/needs"
	"github.com/xferd/xferd/transport"
	"github.com/xferd/xferd/transport/transporttest"
)

// oneFile lands everything in one file.
type oneFile struct{ dst *os.File }

func (s oneFile) Place(_ context.Context, _ uint64, extents []transport.ExtentHeader) ([]transport.Landing, error) {
	l := make([]transport.Landing, len(extents))
	for i := range l {
		l[i].File = s.dst
	}
	return l, nil
}

func (s oneFile) Landed(_ context.Context, _ uint64, arrivals []transport.Arrival) []transport.Verdict {
	v := make([]transport.Verdict, len(arrivals))
	for i := range v {
		v[i] = transport.Verdict{Code: arrivals[i].Code, Digest: arrivals[i].Digest, Err: arrivals[i].Err}
	}
	return v
}

func tempFile(t *testing.T, dir string) *os.File {
	t.Helper()
	f, err := os.CreateTemp(dir, "xferd-local")
	if err != nil {
		needs.Missing(t, "%v", err)
	}
	os.Remove(f.Name())
	t.Cleanup(func() { f.Close() })
	return f
}

// run moves the extents, one per chunk, into sink.
func run(t *testing.T, sink transport.Sink, extents ...transport.Extent) (*transporttest.Feed, transport.Stats) {
	t.Helper()
	tr, stop := open(t)
	defer stop()
	id := transport.Edge{Epoch: 1}
	in, err := tr.Prepare(t.Context(), id, sink, transport.PrepareOptions{Streams: 2, ChunkSize: 64 << 20, Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := tr.Dial(t.Context(), id, in.Grant(), transport.DialOptions{Streams: 2, Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var chunks []*transport.Chunk
	for i, e := range extents {
		chunks = append(chunks, &transport.Chunk{Seq: uint64(i), Extents: []transport.Extent{e}})
	}
	f := transporttest.NewFeed(chunks...)
	if err := out.Run(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	f.Settled(t)
	return f, out.Stats()
}

func extent(off, n int64, b transport.Body) transport.Extent {
	return transport.Extent{
		ExtentHeader: transport.ExtentHeader{Entry: 1, Offset: off, Length: n, Segments: []transport.Range{{Offset: off, Length: n}}},
		Bodies:       []transport.Body{b},
	}
}

// TestMeans: within a file system the kernel copies, between two it may not; the
// bytes are the same, and the counts say which it was.
func TestMeans(t *testing.T) {
	const n = 9<<20 + 4097
	want := bytes.Repeat([]byte("0123456789abcdef~"), n/17+1)[:n]
	for _, dirs := range [][2]string{{"/dev/shm", "/dev/shm"}, {t.TempDir(), t.TempDir()}, {"/dev/shm", t.TempDir()}} {
		src, dst := tempFile(t, dirs[0]), tempFile(t, dirs[1])
		if _, err := src.Write(want); err != nil {
			t.Fatal(err)
		}
		body := func(off int64) transport.Body { return transport.Body{File: src, FileOffset: off} }
		_, st := run(t, oneFile{dst}, extent(0, 8<<20, body(0)), extent(8<<20, n-8<<20, body(8<<20)))
		got, err := io.ReadAll(io.NewSectionReader(dst, 0, n+1))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: %d bytes arrived that are not the %d sent (%v)", dirs, len(got), n, err)
		}
		if st.KernelBytes+st.CopiedBytes != n || st.Bytes != n || st.ClonedBytes > st.KernelBytes {
			t.Errorf("%v: %+v", dirs, st)
		}
		if dirs[0] == dirs[1] && st.KernelBytes != n {
			t.Errorf("%v: the kernel copied only %d", dirs, st.KernelBytes)
		}
	}
}

// TestNoDigestOfKernelCopies: nobody says verified who did not look.
func TestNoDigestOfKernelCopies(t *testing.T) {
	src, dst := tempFile(t, "/dev/shm"), tempFile(t, "/dev/shm")
	if _, err := src.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	f, _ := run(t, oneFile{dst}, extent(0, 1<<20, transport.Body{File: src}))
	if v := f.Verdict(t, 0, 0); v.Code != transport.Placed || !v.Digest.IsZero() {
		t.Errorf("%+v", v)
	}
}

// TestMemoryIsVerified: what passes through memory is hashed, and compared with
// what the feed says of it.
func TestMemoryIsVerified(t *testing.T) {
	for _, sink := range []transport.Sink{transporttest.NewSink(t), oneFile{tempFile(t, t.TempDir())}} {
		good := extent(0, 5, transport.Body{Mem: []byte("hello")})
		bad := extent(5, 5, transport.Body{Mem: []byte("world")})
		bad.Digest[0] = 1
		f, st := run(t, sink, good, bad)
		if v := f.Verdict(t, 0, 0); v.Code != transport.Placed || v.Digest.IsZero() {
			t.Errorf("%+v", v)
		}
		if v := f.Verdict(t, 1, 0); v.Code != transport.Mismatch || st.Mismatches != 1 {
			t.Errorf("%+v", v)
		}
	}
}

// TestTargetFails: a target file that cannot be written costs its extent.
func TestTargetFails(t *testing.T) {
	src := tempFile(t, t.TempDir())
	if _, err := src.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull) // not open for writing
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	f, _ := run(t, oneFile{null}, extent(0, 1<<20, transport.Body{File: src}), extent(0, 1, transport.Body{Mem: []byte{1}}))
	for i := range uint64(2) {
		if v := f.Verdict(t, i, 0); v.Code != transport.Refused || v.Err == nil {
			t.Errorf("%+v", v)
		}
	}
}

// TestForeignGrant: a grant of another transport is refused.
func TestForeignGrant(t *testing.T) {
	tr, stop := open(t)
	defer stop()
	if _, err := tr.Dial(t.Context(), transport.Edge{}, transport.Grant{Transport: transport.TCP}, transport.DialOptions{Streams: 1}); err == nil {
		t.Error("dialled")
	}
	_, err := tr.Dial(t.Context(), transport.Edge{}, transport.Grant{Transport: transport.Local}, transport.DialOptions{Streams: 1})
	var unavailable *transport.UnavailableError
	if !errors.As(err, &unavailable) {
		t.Errorf("Dial: %v", err)
	}
}
